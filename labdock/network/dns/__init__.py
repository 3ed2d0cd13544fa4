"""Names: the resolver that containers find at 127.0.0.11. In the engine process.

::

    messages   bytes ↔ questions and answers                               pure
    table      who has which name, in which network, for whom              pure
    resolver   a query and its asker → an answer, or "ask elsewhere"       pure
    sources    which name servers know the rest                            follows the host's resolv.conf
    upstream   asking them: raced, bounded, every answer checked
    doors      the sockets inside the containers' network namespaces
    service    all of it, told by the endpoints who comes and goes
"""
