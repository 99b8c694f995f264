"""Cgroups, cgroups(7): versions 1 and 2, alone or beside each other ("hybrid").

`hierarchies` reads what is mounted where, `places` finds where groups may be made, `group` makes
them; `limiting`, `freezing`, `sampling` and `oom` act on a group.  Imported from here is only what
the spawner needs, which imports as little as it can: private groups that end a tree.
"""

from nsmagic.linux.cgroups.private import (
    end,
    kill,
    kill_each,
    move,
    own_group,
    private_place,
    remove,
    thaw,
)

__all__ = ["end", "kill", "kill_each", "move", "own_group", "private_place", "remove", "thaw"]
