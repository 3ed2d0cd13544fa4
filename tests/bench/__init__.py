"""labdock measured beside rootless podman and rootless docker, all in one run. Started by ``make bench``.

Runs as an unprivileged user, in the enclosure that ``enclosure.sh`` makes. Not collected by pytest.
"""
