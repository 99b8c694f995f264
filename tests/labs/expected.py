"""What the cells of the labs must show: patterns for re.search, by notebook and cell.

`{uid}` and the like are filled in from who ran it.  A cell that covers an item of the notes, and is
no exercise, must be here.
"""

from __future__ import annotations

from typing import Final

Expected = dict[str, tuple[str, ...]]

PROCESSES: Final[Expected] = {
    "start": (r"your word: [a-z]+-[0-9a-f]{6}", r"read /proc +works"),
    "proc-self": (
        r"I am process (\d+)\n(?:.*\n)*Pid:\s+\1\n", r"root  /\n", r"open files: \d{2}",
    ),
    "sleeper": (r"State:\s+[SR] \(", r"still in /proc: False"),
    "manual-pages": (r"unshare\(1\): (/|SKIP)", r"unshare\(2\): (/|SKIP)"),
    "strace-echo": (r'write\(1, "hi\\n", 3\) += 3|SKIP',),
    "two-modes": (r"computing: (\d+) % in kernel mode; asking Linux: (\d+) %",),
    "fork-before": (r"\['parent'\]",),
    "fork-child": (r"\['parent', 'child'\]",),
    "fork-after": (r"\['parent'\]",),
    "copy-on-write": (r"shares memory with its parent: True",),
    "abort": (r"killed by SIGABRT: it called abort\(\)",),
    "abort-after": (r"I am still process \d+",),
    "thread": (r"thread: (\d+) (?!\1 )\d+ \['parent', 'thread'\]\nmain:   \1 \1 \['parent', 'th",),
    "clone-flags": (r"CLONE_VM\|CLONE_FS\|CLONE_FILES.*CLONE_THREAD|SKIP",),
    "exec": (r"Python, process (\d+)\nshell, process \1\n$",),
    "cost": (r"list \d+ ms, pipe \d+ ms: [1-9]\d* times as long",),
    "zombie": (r"Z \(zombie\)\nState:\s+Z", r"status 7\nstill in /proc: False"),
    "family-check": (r"not done yet: there is no box and no variable called family",),
    "crew-check": (r"not done yet",),
    "reset": (r"playground /",),
}  # fmt: skip

CHROOT: Final[Expected] = {
    "proc-root": (r"self / \d+",),
    "inode": (r"outside: \d+",),
    "inode-inside": (r"inside:  \d+", r"all there is in /: \['user'\]"),
    "recipe": (r"^-rwx.* appdir/bin/bash",),
    "recipe-fails": (r"No such file or directory.*ENOENT",),
    "ldd": (r"libc\.so|ld-musl", r"/ld-"),
    "rootfs": (r"bash +[\d.]+ MB  program", r"  loader", r"  library"),
    "shell": (r"inode \d+\n(.*\n)*bin\n", r"/etc/hostname: No such file"),
    "walls": (r"^/\n/\.\. is / itself",),
    "not-a-container": (
        r"in the jail: host name (\S+), [1-9]\d* processes\noutside:     host name \1, [1-9]",
    ),
    "way-one": (r"/ is the jail: \['bin'", r"walked up to the machine's root: True"),
    "way-two": (r"machine's root: True",),
    "way-three": (r"machine's root: True",),
    "way-four": (r"machine's root: True",),
    "without-right": (r"way 2:\n.*Operation not permitted\nway 3, without chroot:\netc\nusr",),
    "two-versions": (r"says: one\n.*says: two",),
    "pivot": (r"still in the jail: True\n/ is the machine's root: False",),
    "cage-check": (r"not done yet: there is no box and no variable called cage",),
    "reset": (r"playground /",),
}  # fmt: skip

NAMESPACES: Final[Expected] = {
    "proc-self-ns": (r"pid_for_children -> 'pid:\[\d+\]'",),
    "kinds": (r"^8 types: cgroup ipc mnt net pid time user uts",),
    "uts-inside": (r"^island$",),
    "one-linux": (r"the same boot: True",),
    "uts-outside": (r"^(?!island)\S+",),
    "compare": (r"^uts +new", r"^ipc +new", r"^net +shared"),
    "tmpfs-inside": (r"^tmpfs +10240 +0 +10240", r"d/big has 10485760 bytes"),
    "tmpfs-outside": (r"files in d: 0\nmounts in our playground: 0",),
    "mountinfo": (r"/d rw,relatime - tmpfs tmpfs rw,size=10240k",),
    "ps-inside": (r"^ +1 +0 /bin/bash\n +2 +1 ps",),
    "ps-without": (r"I am process 1\nps sees \d+ processes",),
    "explain": (r'mount\("proc", "/proc", "proc"',),
    "nspid-inside": (r"getpid\(\) says 1\nNSpid:\s\d+\s1",),
    "no-fork": (r"fork: Cannot allocate memory",),
    "ss-outside": (r"127\.0\.0\.1:\d+",),
    "ss-inside": (r"^lo +DOWN",),
    "user-inside": (r"uid=0\(root\)", r"^ +0 +\d+ +1$"),
    "user-outside": (r"^-",),
    "user-ordinary": (r"CapEff:\s0+$", r"Operation not permitted"),
    "time-inside": (r"year",),
    "time-outside": (r"^up ",),
    "nsfs": (r"uts is of type nsfs \| a mount point: False", r"cannot open \d+: No such file"),
    "strace-unshare": (r"unshare\(CLONE_NEWNS\|.*CLONE_NEWPID.*\) = 0(.*\n)*.*clone|SKIP",),
    "box-enter": (r"^isle$",),
    "box-diff": (r"^uts .*no$", r"^net .*yes$"),
    "map": (r"^who +processes",),
    "box-lsns": (r"^\d+ +uts .*isle",),
    "fd-handle": (r"the process is gone: True\nsetns: 0 \| my host name is now kept",),
    "findmnt": (r"^/ +\S+ +(private|shared|slave)",),
    "propagation": (
        r"private: the child sees a: no\nprivate: the parent sees b: no",
        r"shared: the child sees a: yes\nshared: the parent sees b: yes",
        r"slave: the child sees a: yes\nslave: the parent sees b: no",
    ),
    "ipc": (r"segments here: 1\nin a new IPC namespace: 0\n/dev/shm/nsmagic-",),
    "island-check": (r"not done yet",),
    "clean-up": (r"playground /",),
}  # fmt: skip

NETWORK: Final[Expected] = {
    "only-lo": (r"^lo +DOWN", r"routes: 0, listening sockets: 0"),
    "lo-down": (r"down: Network is unreachable\nlo is up:   Connection refused",),
    "listen": (r"listening on port \d+",),
    "ss-outside": (r"LISTEN .*127\.0\.0\.1:\d+",),
    "ss-inside": (r"^State.*\nsockets in /proc/self/net/tcp: 0",),
    "port-twice": (r"EADDRINUSE",),
    "port-inside": (r"of its own: works",),
    "lsns": (r"<job ",),
    "lsns-show": (r"^\d+ net [123] \d+ \S",),
    "veth": (
        r"^eth0@if\d+ +DOWN", r"blue: no: Network is unreachable\nred asks blue: hello from blue",
    ),
    "bridge": (r"red asks green:  hello from green, you are 10\.0\.0\.2", r"10\.0\.0\.3\n.*: 3$"),
    "forwarding": (r"no forwarding:  no: .*\nforwarding:     no: .*\nand a way back: hello",),
    "nat": (r"you are 203\.0\.113\.2\npublished:   hello from red, you are 203\.0\.113\.1|SKIP: ",),
    "traffic": (r"no limit:    0\.\d+ s\n(200 kB at 1 Mbit/s:  1\.[3-9]\d s|SKIP)",),
    "pod": (r"127\.0\.0\.1: hello from first, you are 127\.0\.0\.1\nnet: shared\nuts: not shared",),
    "cable-check": (r"not done yet",),
    "reset": (r"playground /",),
}  # fmt: skip

CGROUPS: Final[Expected] = {
    "own-groups": (r"^\d+:.*:/", r"mounted here: cgroup"),
    "controllers": (r"This machine is|cgroup v", r"memory +v[12]"),
    "second-mount": (r"the same inode: yes|its files: \d\d|SKIP",),
    "make": (r"read back: mem=100M, .*pids=20", r"in these groups:\n.*nsmagic-\d+-demo"),
    "show": (r"mem +100M +memory\.max=104857600 +memory\.limit", r"pids +20 +pids\.max=20"),
    "explain": (r"echo 104857600 >", r"cgroup"),
    "user1": (r"weight=200",),
    "user2": (r"weight=75",),
    "user3": (r"weight=50",),
    "shares": (r"^[5-7]\d % [12]\d % 1?\d %|^[5-7]\d % [1-3]\d % [12]\d %",),
    "alone": (r"with the others \d\.\d+ s, alone \d\.\d+ s of 1.5 s",),
    "pids": (r"fork number \d+ failed: Resource temporarily unavailable",),
    "pond": (r"the loop is process \d+",),
    "freeze": (r"froze pond",),
    "frozen": (r"beats while frozen: 0",),
    "thaw": (r"thawed pond",),
    "thawed": (r"it goes on: True",),
    "cgns": (r"my own group: /\n", r"10 MiB are fine"),
    "ns-only": (r"in the cgroups of the notebook: True",),
    "cg-only": (r"cgroups of my own: True\nall namespaces are shared with the notebook: True",),
    "delegation-here": (r"memory +v[12]",),
    "garden": (r"^0::/\S*-garden",),
    "hand-over": (
        r"^\. +belongs to user (?!0$)(\d+)\ncgroup\.procs +belongs to user \1\n",
        r"^(memory\.max|cgroup\.max\.descendants) +belongs to user 0$",
    ),
    "inside": (
        r"I am user (?!0$)\d+\nmake a group in it: works\nmove there: works\n",
        r"^change its \S+: refused: Permission denied\nmake a group beside it: refused: Permission",
        r"^leave it: refused: Permission denied",
    ),
    "fence-check": (r"not done yet|cannot be checked here: a cgroup with limits: ",),
    "beds-check": (r"not done yet|cannot be checked here: a cgroup with limits: ",),
    "tree-now": (r"/sys/fs/cgroup",),
    "reset": (r"playground /",),
}  # fmt: skip

LIMITS: Final[Expected] = {
    "oom": (r"^[6-9]0 MiB$", r"killed by its memory limit of 100 MiB"),
    "tmpfs": (r"killed by its memory limit of 64 MiB",),
    "cache": (r"^read \d+ MiB with a limit of 40 MiB, and nobody was killed",),
    "high": (
        r"^4 MiB after|SKIP: memory\.high.* exists on cgroup v2 only",
        r"reached [345]\d\.\d+ MiB of 80 in \d|^SKIP",
        r"held up [1-9]\d* times, killed: 0|^SKIP",
    ),
    "oom-one": (r"tail ended with status 137; the helper lives: yes",),
    "oom-group": (r"killed by its memory limit of 64 MiB",),
    "oom-group-after": (r"the helper is alive: False\nthe shell is alive: False",),
    "throttle": (r"got 0\.[0-3]\d s of processor time", r"periods: \d+ throttled in: [1-9]"),
    "noisy-latency": (r"without limit: \d+\.\d ms",),
    "quiet-latency": (r"with 10 %: +\d+\.\d ms",),
    "pressure": (r"^cpu +(some avg10=|SKIP)",),
    "pressure-group": (
        r"waited for the processor: (0\.[7-9]|[1-9]\.\d) s of \d\.\d s|^SKIP: this Linux does not",
        r"for memory: \d\.\d s, for disks: \d|^SKIP",
    ),
    "docker": (r"host name test01, I am process [12], and I see \d processes", r"^lo +DOWN"),
    "docker-limits": (r"mem +512M +memory\.max=536870912", r"cpu +100% +cpu\.max=100000 100000"),
    "plot": (r"cgroup web", r"^ +CPU|Memory"),
    "plot-work": (r"worked for three seconds",),
    "diet-check": (r"not done yet|cannot be checked here: a cgroup with limits: ",),
    "suit-check": (r"not done yet|cannot be checked here: memory\.high, which slows down: ",),
    "survivor-check": (r"not done yet|cannot be checked here: a cgroup with limits: ",),
    "queue-check": (r"not done yet|cannot be checked here: the pressure of a group",),
    "reset": (r"playground /",),
}  # fmt: skip

EXPECTED: Final[dict[str, Expected]] = {
    "01-processes": PROCESSES,
    "02-chroot": CHROOT,
    "03-namespaces": NAMESPACES,
    "04-network": NETWORK,
    "05-cgroups": CGROUPS,
    "06-limits-live": LIMITS,
}
