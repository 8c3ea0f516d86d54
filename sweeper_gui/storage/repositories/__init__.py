"""Unsaved work: what git repositories in a workspace hold that exists nowhere else.

The tree is hostile: nothing in it is run, and no path that it names is followed out of the workspace. Its files are
opened one component at a time beneath the workspace's descriptor, never through links, and read within limits of size
and time. What can't be read so is not clean but unreadable. The formats of objects are dulwich's to understand; its
`Repo`, which opens paths, and its memory maps, which end the process when a file shrinks, are not used.

What counts: commits that any ref (a tag too, for a fetched one can't be told from one's own) or anything checked out
holds and no remote-tracking branch does; stashes; what is neither committed nor ignored; a merge, a rebase or the like
in progress. What does not: commits that only a reflog holds, which git itself throws away, and a bisection, which makes
nothing. A nested repository is told for itself, and is no untracked file of the outer one. What the library can't make
sense of is unreadable, whatever it raises.

    survey     what is met in a walk over a workspace, and what is told of it
    worktree   a work tree compared with its index, by the attributes that the walk has read anyway
    index      the index
    ignores    .gitignore and its kin
    gitdir     a git directory: configuration, refs, stashes, what is in progress
    objects    commits and trees, loose or packed
    history    commits that no remote has, and what is staged
    access     files beneath a descriptor, and the time that may be spent on them
"""
