"""Lab 4: network namespaces, cables, bridges."""

from __future__ import annotations

import sys
from collections.abc import Iterator

from nsmagic.labs.catalogue.asking import run, unshare
from nsmagic.labs.exercises import Answer, Fact, Here, Mistake, exercise, question
from nsmagic.labs.watched import Watched

_LAB = "04-network"
_ADDRESS, _PORT = "10.7.7.2", 8080

_SERVE = """\
%%writefile serve.py
import os, socket, sys

server = socket.create_server((sys.argv[1] if len(sys.argv) > 1 else "", 8080))
while True:
    peer, _ = server.accept()
    peer.sendall(os.environ["NSMAGIC_LAB"].encode())
    peer.close()
"""

_CABLE = """\
%%unshare --net --bg --proc red /bin/bash
unshare --net sleep 600 & blue=$!
until [ "$(readlink /proc/$blue/ns/net)" != "$(readlink /proc/$$/ns/net)" ]; do sleep 0.05; done
ip link add eth0 type veth peer name eth0 netns $blue
ip addr add 10.7.7.2/24 dev eth0
ip link set eth0 up
nsenter --target $blue --net sh -c 'ip addr add 10.7.7.3/24 dev eth0; ip link set eth0 up'
exec python3 serve.py
"""

_CONNECT = f"""\
import socket
try:
    with socket.create_connection(({_ADDRESS!r}, {_PORT}), timeout=2) as peer:
        print(peer.recv(99).decode())
except OSError as error:
    print("nobody answered:", error.strerror or error)
"""


def _with(old: str, new: str) -> str:
    assert old in _CABLE, old
    return _CABLE.replace(old, new)


@exercise(
    id="cable", lab=_LAB, title="A cable", on="red",
    task="Leave `red` running in a network of its own, with eth0 at 10.7.7.2/24, a child in another"
    " network at the other end of a cable, and your word served on port 8080.",
    covers=("3.14", "4.12", "1.38"),
    setup=_SERVE,
    hints=(
        ("Begin with %%unshare --net --bg --proc red /bin/bash. The second network is that of a"
        " child: unshare --net sleep 600 &"),
        "veth(4); ip-link(8), `peer name ... netns`; network_namespaces(7); nsenter(1).",
        ("ip link add eth0 type veth peer name eth0 netns $blue; then an address and `up` at both"
        " ends, the far one by nsenter --target $blue --net; at last exec python3 serve.py."),
    ),
    solution=_CABLE,
    mistakes=(
        Mistake(_with("%%unshare --net", "%%unshare --net --uts").replace(
            "ip link add eth0 ", "ip link add veth0 ").replace("dev eth0\nip link set eth0",
            "dev veth0\nip link set veth0"), "no interface eth0"),
        Mistake(_with("10.7.7.2", "10.7.7.9"), "not the address"),
        Mistake(_with("exec python3 serve.py", "exec sleep 600"), "nobody listens"),
        Mistake(_with("ip link set eth0 up\nnsenter", "nsenter"), "nobody answered"),
        Mistake(_with("exec python3 serve.py",
                      "ip link set lo up\nexec python3 serve.py 127.0.0.1"), "nobody answered"),
        Mistake(_with("exec python3", "kill $blue\nexec python3"), "no interface eth0"),
        Mistake(_with("exec python3", "NSMAGIC_LAB=hello exec python3"), "says 'hello'"),
        Mistake("import subprocess, sys\n"
                "red = subprocess.Popen([sys.executable, 'serve.py', '127.0.0.1'])", "it shares"),
    ),
    needs=("net", "veth"),
)  # fmt: skip
def cable(it: Watched, here: Here) -> Iterator[Fact]:
    """Two networks, one cable, and an answer that really comes."""
    yield Fact(
        not it.shares("net", here.kernel),
        "it has a network of its own",
        "it shares the network of this notebook",
    )
    yield Fact(
        "eth0" in it.links,
        "it has an interface eth0",
        f"it has no interface eth0, only {', '.join(sorted(it.links))}",
    )
    shown = it.ask(["ip", "-o", "-4", "addr", "show", "dev", "eth0"], "net").split()
    yield Fact(
        f"{_ADDRESS}/24" in shown,
        f"eth0 has the address {_ADDRESS}/24",
        f"eth0 has not the address {_ADDRESS}/24, but {shown[3] if len(shown) > 3 else 'none'}",
    )
    yield Fact(
        _PORT in it.listening,
        f"somebody listens on port {_PORT}",
        f"nobody listens on port {_PORT}, only on {sorted(it.listening) or 'none'}",
    )
    others = [each for each in it.descendants if not each.shares("net", it)]
    yield Fact(
        bool(others),
        "a child is in another network",
        "it has no child in another network",
    )
    said = others[0].ask([sys.executable, "-I", "-S", "-c", _CONNECT], "net").strip()
    yield Fact(
        not said.startswith("nobody answered"),
        "whoever connects from there is answered",
        f"from the child's network, {_ADDRESS} port {_PORT}: {said}",
    )
    yield Fact(
        said == here.word,
        "the answer is your word",
        f"the server says {said!r}, and not your word {here.word!r}",
    )


@question(id="links-new", lab=_LAB, covers=("3.14",),
          text="How many network interfaces has a new network namespace?")  # fmt: skip
def _links_new(_: Here) -> Answer:
    rows = unshare("--net", "cat", "/proc/self/net/dev").splitlines()[2:]
    return Answer(
        value=str(len(rows)),
        how="/proc/self/net/dev in a new namespace",
        why="Only lo, on most machines. (Modules for tunnels may put theirs into each.)",
    )


@question(id="lo-state", lab=_LAB, choices=("UP", "DOWN"), covers=("3.14",),
          text="In a new network namespace, the loopback interface is ...")  # fmt: skip
def _lo_state(_: Here) -> Answer:
    return Answer(
        value="UP" if "UP" in unshare("--net", "ip", "-o", "link", "show", "dev", "lo") else "DOWN",
        how="ip link show dev lo",
        why="Linux makes lo and leaves it down; whoever made the namespace must switch it on.",
    )


@question(id="port-twice", lab=_LAB, choices=("works", "EADDRINUSE"), covers=("4.7",),
          text="A port is taken here. In a new network namespace, another: ...")  # fmt: skip
def _port_twice(_: Here) -> Answer:
    import socket

    code = (
        "import errno, socket, sys\ntry:\n socket.create_server(('0.0.0.0', int(sys.argv[1])))\n"
        " print('works')\nexcept OSError as error: print(errno.errorcode[error.errno])"
    )
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        said = unshare("--net", sys.executable, "-I", "-S", "-c", code, port)
    return Answer(
        value=said,
        how=f"two servers on port {port}, one of them in a new namespace",
        why="Each network namespace has all 65535 ports for itself.",
    )


@question(id="forward", lab=_LAB, choices=("0", "1"), covers=("1.38",),
          text="Does a new network namespace forward packets? (ip_forward: 0 or 1)")  # fmt: skip
def _forward(_: Here) -> Answer:
    return Answer(
        value=unshare("--net", "cat", "/proc/sys/net/ipv4/ip_forward"),
        how="/proc/sys/net/ipv4/ip_forward, read in a new namespace",
        why="The switch is one of each namespace. (It may start with the value of the first one.)",
    )


@question(id="quiz-interfaces", lab=_LAB, covers=("3.14",),
          text="Quiz: how many network interfaces does this notebook see?")  # fmt: skip
def _quiz_interfaces(here: Here) -> Answer:
    return Answer(
        value=str(len(here.kernel.links)),
        how="/proc/self/net/dev",
        why=f"They are {', '.join(sorted(here.kernel.links))}.",
    )


@question(id="quiz-ports", lab=_LAB, covers=("4.12",),
          text="Quiz: on how many TCP ports does somebody listen in this network?")  # fmt: skip
def _quiz_ports(here: Here) -> Answer:
    return Answer(
        value=str(len(here.kernel.listening)),
        how="/proc/self/net/tcp and tcp6, state 0A",
        why="Jupyter alone has several: one for the browser, some for each notebook.",
    )


@question(id="quiz-routes", lab=_LAB, covers=("1.38",),
          text="Quiz: how many IPv4 routes does this notebook's network have?")  # fmt: skip
def _quiz_routes(_: Here) -> Answer:
    return Answer(
        value=str(len(run(["ip", "-4", "route"]).splitlines())),
        how="ip -4 route",
        why="The main table. Without a line that begins with default, no way leads further.",
    )
