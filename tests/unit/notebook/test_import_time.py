"""``%load_ext labdock`` costs little beside IPython itself."""

from __future__ import annotations

from tests.processor import cost


def test_loading_the_extension() -> None:
    shell = "from IPython.core.interactiveshell import InteractiveShell as S\ns = S.instance()\n"
    bare, plain, ours = cost("pass", shell, shell + "import labdock; labdock.load_ipython_extension(s)")
    assert ours - plain < 0.3 * (plain - bare)
