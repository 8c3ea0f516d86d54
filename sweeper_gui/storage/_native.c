/* The innermost loops of reading and removing: many system calls in one directory, without Python's lock; and the few
   that are made for each directory.

   Each loop works on entries of one open directory, given as single path components; anything else is refused
   before the kernel sees it. It ends at the first error, at a limit of entries, or when a time has passed, so that the
   caller can look at a cancel. What the errors, the numbers and the names mean is decided in Python (bulk.py, files.py).

   Nothing is kept between two calls. While the lock is given away only the C stack and referenced names are touched. */

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#define Py_LIMITED_API 0x030B0000
#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <time.h>
#include <unistd.h>

/* So many names at most are taken in one call: they fit the stack, and take less than a millisecond where it is quick. */
#define MOST 128
#define SECOND INT64_C(1000000000)
/* What the kernel fills in one go when it lists a directory; the C library uses as much. */
#define LISTING_BYTES ((size_t)32768)
/* A name of 255 bytes with what goes before and after it. */
#define LONGEST_RECORD ((size_t)280)

#define ATTRIBUTES                                                                                                     \
    (STATX_TYPE | STATX_MODE | STATX_NLINK | STATX_UID | STATX_GID | STATX_MTIME | STATX_CTIME | STATX_INO |           \
     STATX_SIZE | STATX_BLOCKS)

static int64_t monotonic_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * SECOND + now.tv_nsec;
}

/* What the operations of one call took, and what the last of them did. Nanoseconds. */
struct times {
    int64_t all, last;
};

/* --- names --------------------------------------------------------------------------------------------------------- */

/* Some names of a list, which stay alive whatever happens to the list while Python's lock is given away. */
struct names {
    Py_ssize_t count;
    PyObject *held[MOST];
    const char *text[MOST];
};

static void let_go(struct names *names)
{
    for (Py_ssize_t i = 0; i < names->count; i++)
        Py_DECREF(names->held[i]);
}

/* The text of a name that is one component; NULL with an exception for anything else. */
static const char *component(PyObject *name)
{
    char *text;
    if (PyBytes_AsStringAndSize(name, &text, NULL) < 0) /* refuses a NUL inside */
        return NULL;
    if (*text == '\0' || strchr(text, '/') || strcmp(text, ".") == 0 || strcmp(text, "..") == 0) {
        PyErr_Format(PyExc_ValueError, "not a single path component: %R", name);
        return NULL;
    }
    return text;
}

/* Takes up to MOST names of the list, from number `at` on. False with an exception, and then none is held. */
static bool hold(struct names *names, PyObject *list, Py_ssize_t at)
{
    names->count = 0;
    if (!PyList_Check(list)) {
        PyErr_SetString(PyExc_TypeError, "names must be a list of bytes");
        return false;
    }
    if (at < 0) {
        PyErr_SetString(PyExc_ValueError, "names are counted from 0");
        return false;
    }
    Py_ssize_t size = PyList_Size(list);
    while (names->count < MOST && at + names->count < size) {
        PyObject *name = PyList_GetItem(list, at + names->count);
        const char *text = name != NULL ? component(name) : NULL;
        if (text == NULL) {
            let_go(names);
            return false;
        }
        Py_INCREF(name);
        names->held[names->count] = name;
        names->text[names->count++] = text;
    }
    return true;
}

/* --- one directory ------------------------------------------------------------------------------------------------- */

struct identity {
    unsigned long long device, inode;
};

/* openat2(2), which the C library may be too old to know; the number is the same on every architecture. */
#define OPENAT2 437
#define NO_XDEV 0x01
#define NO_SYMLINKS 0x04
#define BENEATH 0x08
/* It says EAGAIN where a rename raced the look-up; but a file system may say it too, and for ever. */
#define OPEN_ATTEMPTS 100

static int open_one(int parent, const char *text, uint64_t flags)
{
    const struct {
        uint64_t flags, mode, resolve;
    } how = {flags, 0, BENEATH | NO_SYMLINKS | NO_XDEV};
    long opened;
    int attempts = 0;
    do
        opened = syscall(OPENAT2, parent, text, &how, sizeof how);
    while (opened < 0 && (errno == EAGAIN || errno == EINTR) && ++attempts < OPEN_ATTEMPTS);
    return (int)opened;
}

/* An opened directory's identity; closes it where that can't be told, and then -1 with errno. */
static int identified(int descriptor, struct identity *identity)
{
    struct stat status;
    if (descriptor < 0)
        return -1;
    if (fstat(descriptor, &status) == 0) {
        identity->device = status.st_dev;
        identity->inode = status.st_ino;
        return descriptor;
    }
    int code = errno;
    close(descriptor);
    errno = code;
    return -1;
}

PyDoc_STRVAR(open_beneath_doc, "open_beneath(name, parent, flags) -> (descriptor, (device, inode))");

static PyObject *open_beneath(PyObject *module, PyObject *arguments)
{
    (void)module;
    PyObject *name;
    int parent, flags;
    if (!PyArg_ParseTuple(arguments, "Oii:open_beneath", &name, &parent, &flags))
        return NULL;
    const char *text = component(name);
    if (text == NULL)
        return NULL;
    int descriptor;
    struct identity identity;
    Py_INCREF(name);
    Py_BEGIN_ALLOW_THREADS
    descriptor = identified(open_one(parent, text, (uint64_t)flags), &identity);
    Py_END_ALLOW_THREADS
    Py_DECREF(name);
    if (descriptor < 0)
        return PyErr_SetFromErrno(PyExc_OSError);
    PyObject *result = Py_BuildValue("(i(KK))", descriptor, identity.device, identity.inode);
    if (result == NULL)
        close(descriptor);
    return result;
}

/* So many '../' fit the longest path. */
#define STEPS 1300

/* Puts so many steps up into `way`, which has room for STEPS + 1. */
static void put_steps(char *way, Py_ssize_t steps)
{
    for (Py_ssize_t i = 0; i < steps; i++)
        memcpy(way + 3 * i, "../", 3);
    strcpy(way + 3 * steps, steps > 0 ? "" : ".");
}

/* False with errno. The kernel knows it of a directory that is open: no server is asked. */
static bool identify(int directory, const char *way, struct identity *identity)
{
    struct statx status;
    if (statx(directory, way, AT_STATX_DONT_SYNC | AT_NO_AUTOMOUNT, STATX_INO, &status) < 0)
        return false;
    identity->device = makedev(status.stx_dev_major, status.stx_dev_minor);
    identity->inode = status.stx_ino;
    return true;
}

/* The directory so many levels above an open one, and the next one. False with errno. Without Python's lock. */
static bool identify_above(int directory, Py_ssize_t levels, struct identity *that, struct identity *next)
{
    char way[3 * (STEPS + 1) + 1];
    int at = directory;
    bool good = true;
    while (good && levels > STEPS) {
        put_steps(way, STEPS);
        int above = openat(at, way, O_PATH | O_DIRECTORY | O_CLOEXEC);
        good = above >= 0;
        int code = errno;
        if (at != directory)
            close(at);
        errno = code;
        at = above;
        levels -= STEPS;
    }
    if (!good)
        return false;
    put_steps(way, levels);
    good = identify(at, way, that);
    put_steps(way, levels + 1);
    good = good && identify(at, way, next);
    int code = errno;
    if (at != directory)
        close(at);
    errno = code;
    return good;
}

PyDoc_STRVAR(identities_above_doc, "identities_above(directory, levels) -> ((device, inode), (device, inode))");

static PyObject *identities_above(PyObject *module, PyObject *arguments)
{
    (void)module;
    int directory;
    Py_ssize_t levels;
    if (!PyArg_ParseTuple(arguments, "in:identities_above", &directory, &levels))
        return NULL;
    struct identity that, next;
    bool good;
    Py_BEGIN_ALLOW_THREADS
    good = identify_above(directory, levels, &that, &next);
    Py_END_ALLOW_THREADS
    if (!good)
        return PyErr_SetFromErrno(PyExc_OSError);
    return Py_BuildValue("((KK)(KK))", that.device, that.inode, next.device, next.inode);
}

/* --- listing ------------------------------------------------------------------------------------------------------- */

/* A record of getdents64(2); `name` ends with a NUL, within `length` bytes of the record's beginning. */
struct record {
    uint64_t inode;
    int64_t offset;
    uint16_t length;
    uint8_t kind;
    char name[];
};

struct listing {
    PyObject *names;
    PyObject *kinds; /* a bytearray, a byte for each name */
};

static bool add_name(struct listing *listing, const char *text, size_t length, uint8_t kind)
{
    PyObject *name = PyBytes_FromStringAndSize(text, (Py_ssize_t)length);
    if (name == NULL)
        return false;
    int failed = PyList_Append(listing->names, name);
    Py_DECREF(name);
    if (failed)
        return false;
    Py_ssize_t count = PyByteArray_Size(listing->kinds);
    if (PyByteArray_Resize(listing->kinds, count + 1) < 0)
        return false;
    PyByteArray_AsString(listing->kinds)[count] = (char)kind;
    return true;
}

/* The length of a record's name; 0 where it is none that a directory can hold. `room` is what is left of the buffer. */
static size_t name_length(const struct record *record, size_t room)
{
    const size_t head = offsetof(struct record, name);
    if (room <= head || record->length <= head || record->length > room)
        return 0;
    size_t most = record->length - head;
    size_t length = strnlen(record->name, most);
    return length == most || memchr(record->name, '/', length) ? 0 : length;
}

/* Adds the names in a buffer that the kernel has filled. */
static bool add_names(struct listing *listing, const char *buffer, size_t filled)
{
    size_t at = 0;
    while (at < filled) {
        const struct record *record = (const struct record *)(const void *)(buffer + at);
        size_t length = name_length(record, filled - at);
        if (length == 0) {
            errno = EIO;
            PyErr_SetFromErrno(PyExc_OSError);
            return false;
        }
        bool is_itself = strcmp(record->name, ".") == 0 || strcmp(record->name, "..") == 0;
        if (!is_itself && !add_name(listing, record->name, length, record->kind))
            return false;
        at += record->length;
    }
    return true;
}

/* Fills the buffer as far as the listing goes; how many bytes, -1 with errno. Without Python's lock. */
static ptrdiff_t fill(int directory, bool from_start, char *buffer, bool *ended)
{
    if (from_start && lseek(directory, 0, SEEK_SET) < 0)
        return -1;
    size_t filled = 0;
    while (!*ended && LISTING_BYTES - filled >= LONGEST_RECORD) {
        long got = syscall(SYS_getdents64, directory, buffer + filled, LISTING_BYTES - filled);
        if (got < 0)
            return -1;
        *ended = got == 0;
        filled += (size_t)got;
    }
    return (ptrdiff_t)filled;
}

/* Reads until `most` names are there or there are no more, which `ended` says. False with an exception. */
static bool read_names(struct listing *listing, int directory, bool from_start, Py_ssize_t most, bool *ended)
{
    char *buffer = PyMem_Malloc(LISTING_BYTES);
    if (buffer == NULL) {
        PyErr_NoMemory();
        return false;
    }
    bool good = true;
    while (good && !*ended && PyList_Size(listing->names) < most) {
        ptrdiff_t filled;
        Py_BEGIN_ALLOW_THREADS
        filled = fill(directory, from_start, buffer, ended);
        Py_END_ALLOW_THREADS
        from_start = false;
        if (filled < 0)
            PyErr_SetFromErrno(PyExc_OSError);
        good = filled >= 0 && add_names(listing, buffer, (size_t)filled);
    }
    PyMem_Free(buffer);
    return good;
}

PyDoc_STRVAR(list_names_doc, "list_names(directory, from_start, most) -> (names, kinds, more)");

static PyObject *list_names(PyObject *module, PyObject *arguments)
{
    (void)module;
    int directory, from_start;
    Py_ssize_t most;
    if (!PyArg_ParseTuple(arguments, "ipn:list_names", &directory, &from_start, &most))
        return NULL;
    struct listing listing = {PyList_New(0), PyByteArray_FromStringAndSize(NULL, 0)};
    PyObject *result = NULL;
    if (listing.names != NULL && listing.kinds != NULL) {
        bool ended = false;
        if (read_names(&listing, directory, from_start != 0, most, &ended))
            result = Py_BuildValue("(OOO)", listing.names, listing.kinds, ended ? Py_False : Py_True);
    }
    Py_XDECREF(listing.names);
    Py_XDECREF(listing.kinds);
    return result;
}

/* --- attributes ---------------------------------------------------------------------------------------------------- */

/* What some entries add up to, as Tally.read of walk.py defines it. */
struct sums {
    int64_t blocks, apparent;
    int64_t newest, newest_ctime;
    Py_ssize_t newest_at; /* -1: none of these */
    bool claimed;
};

struct lists {
    PyObject *directories; /* (name, inode, blocks) */
    PyObject *links;       /* (inode, names, blocks, size) */
    PyObject *mounts;      /* name */
    PyObject *errors;      /* (name, code) */
    PyObject *kept;        /* (mode, size, mtime_ns, ctime_ns) or None for each entry; NULL: not wanted */
};

struct rules {
    unsigned long long device;
    long long now_ns;
    const char *claim;
};

/* Within 64 bits: anyone may set a time of any year. */
static int64_t nanoseconds(struct statx_timestamp time)
{
    int64_t whole;
    if (__builtin_mul_overflow((int64_t)time.tv_sec, SECOND, &whole) ||
        __builtin_add_overflow(whole, (int64_t)time.tv_nsec, &whole))
        return time.tv_sec < 0 ? -INT64_MAX : INT64_MAX;
    return whole < -INT64_MAX ? -INT64_MAX : whole;
}

/* Appends what it is given the only reference to; false with an exception, also where it is given none. */
static bool append(PyObject *list, PyObject *item)
{
    if (item == NULL)
        return false;
    int failed = PyList_Append(list, item);
    Py_DECREF(item);
    return !failed;
}

static bool keep(struct lists *lists, const struct statx *status, bool known)
{
    if (lists->kept == NULL)
        return true;
    if (!known)
        return PyList_Append(lists->kept, Py_None) == 0;
    return append(lists->kept, Py_BuildValue("(ILLL)", (unsigned int)status->stx_mode, (long long)status->stx_size,
                                             (long long)nanoseconds(status->stx_mtime),
                                             (long long)nanoseconds(status->stx_ctime)));
}

static void see_change(struct sums *sums, const struct statx *status, const struct rules *rules, Py_ssize_t at)
{
    int64_t modified = nanoseconds(status->stx_mtime), changed = nanoseconds(status->stx_ctime);
    if (changed > sums->newest_ctime)
        sums->newest_ctime = changed;
    int64_t change = modified > rules->now_ns || modified < changed ? changed : modified;
    if (change > sums->newest) {
        sums->newest = change;
        sums->newest_at = at;
    }
}

/* 1: added; 0: the sums would not fit 64 bits, and nothing was done; -1: an exception. */
static int add_entry(struct sums *sums, struct lists *lists, const struct statx *status, const struct rules *rules,
                     PyObject *name, const char *text, Py_ssize_t at)
{
    if (makedev(status->stx_dev_major, status->stx_dev_minor) != rules->device)
        return keep(lists, status, true) && PyList_Append(lists->mounts, name) == 0 ? 1 : -1;
    int64_t blocks, apparent;
    if (__builtin_add_overflow(sums->blocks, (int64_t)status->stx_blocks, &blocks) ||
        __builtin_add_overflow(sums->apparent, (int64_t)status->stx_size, &apparent))
        return 0;
    if (!keep(lists, status, true))
        return -1;
    sums->claimed = sums->claimed || strcmp(text, rules->claim) == 0;
    see_change(sums, status, rules, at);
    bool is_directory = S_ISDIR(status->stx_mode);
    if (!is_directory && status->stx_nlink > 1) {
        PyObject *link = Py_BuildValue("(KILL)", (unsigned long long)status->stx_ino, (unsigned int)status->stx_nlink,
                                       (long long)status->stx_blocks, (long long)status->stx_size);
        return append(lists->links, link) ? 1 : -1;
    }
    if (is_directory) {
        PyObject *directory = Py_BuildValue("(OKL)", name, (unsigned long long)status->stx_ino,
                                            (long long)status->stx_blocks);
        if (!append(lists->directories, directory))
            return -1;
    }
    sums->blocks = blocks;
    sums->apparent = apparent;
    return 1;
}

/* Adds up what was read; how many entries that was, -1 with an exception. */
static Py_ssize_t add_up(struct sums *sums, struct lists *lists, const struct statx *status, const int *codes,
                         const struct names *names, Py_ssize_t count, const struct rules *rules)
{
    for (Py_ssize_t i = 0; i < count; i++) {
        if (codes[i] != 0) {
            if (!keep(lists, NULL, false) || !append(lists->errors, Py_BuildValue("(Oi)", names->held[i], codes[i])))
                return -1;
            continue;
        }
        int added = add_entry(sums, lists, &status[i], rules, names->held[i], names->text[i], i);
        if (added < 0)
            return -1;
        if (added == 0)
            return i; /* never the first: one entry alone fits */
    }
    return count;
}

/* Reads attributes until the time `until`, but of one entry at least; how many. Without Python's lock. */
static Py_ssize_t read_each(int directory, const struct names *names, int flags, int64_t until, struct statx *status,
                            int *codes, struct times *times)
{
    const int64_t began = monotonic_ns();
    int64_t before, now = began;
    Py_ssize_t count = 0;
    times->last = 0;
    while (count < names->count && (count == 0 || now < until)) {
        before = now;
        int failed = statx(directory, names->text[count], flags, ATTRIBUTES, &status[count]);
        codes[count++] = failed ? errno : 0;
        now = monotonic_ns();
        times->last = now - before;
    }
    times->all = now - began;
    return count;
}

PyDoc_STRVAR(attributes_doc, "attributes(directory, names, at, until, fresh, device, now_ns, newest, newest_ctime, "
                             "claim, keep) -> (count, took, last, blocks, apparent, newest, newest_name, newest_ctime, "
                             "claimed, directories, links, mounts, errors, kept)");

static bool make_lists(struct lists *lists, bool keep)
{
    lists->directories = PyList_New(0);
    lists->links = PyList_New(0);
    lists->mounts = PyList_New(0);
    lists->errors = PyList_New(0);
    lists->kept = keep ? PyList_New(0) : NULL;
    return lists->directories && lists->links && lists->mounts && lists->errors && (lists->kept || !keep);
}

static PyObject *attributes(PyObject *module, PyObject *arguments)
{
    (void)module;
    int directory, fresh, keep;
    PyObject *list;
    Py_ssize_t at;
    long long until, newest, newest_ctime;
    struct rules rules;
    if (!PyArg_ParseTuple(arguments, "iOnLpKLLLyp:attributes", &directory, &list, &at, &until, &fresh, &rules.device,
                          &rules.now_ns, &newest, &newest_ctime, &rules.claim, &keep))
        return NULL;
    struct names names;
    if (!hold(&names, list, at))
        return NULL;

    const int flags = AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT | (fresh ? AT_STATX_FORCE_SYNC : 0);
    struct statx status[MOST];
    int codes[MOST];
    struct times times;
    Py_ssize_t count;
    Py_BEGIN_ALLOW_THREADS
    count = read_each(directory, &names, flags, until, status, codes, &times);
    Py_END_ALLOW_THREADS

    PyObject *result = NULL;
    struct sums sums = {0, 0, newest, newest_ctime, -1, false};
    struct lists lists;
    if (make_lists(&lists, keep != 0)) {
        count = add_up(&sums, &lists, status, codes, &names, count, &rules);
        if (count >= 0)
            result = Py_BuildValue("(nLLLLLOLOOOOOO)", count, (long long)times.all, (long long)times.last, (long long)sums.blocks,
                                   (long long)sums.apparent, (long long)sums.newest,
                                   sums.newest_at < 0 ? Py_None : names.held[sums.newest_at],
                                   (long long)sums.newest_ctime, sums.claimed ? Py_True : Py_False, lists.directories,
                                   lists.links, lists.mounts, lists.errors, lists.kept ? lists.kept : Py_None);
    }
    Py_XDECREF(lists.directories);
    Py_XDECREF(lists.links);
    Py_XDECREF(lists.mounts);
    Py_XDECREF(lists.errors);
    Py_XDECREF(lists.kept);
    let_go(&names);
    return result;
}

/* --- removing ------------------------------------------------------------------------------------------------------ */

/* Removes names until the time `until`, but one at least, or until the first error; how many are gone. What was gone
   before counts too. Without Python's lock. */
static Py_ssize_t unlink_each(int directory, const struct names *names, int flags, int64_t until, int *code,
                              struct times *times)
{
    const int64_t began = monotonic_ns();
    int64_t before, now = began;
    Py_ssize_t count = 0;
    *code = 0;
    times->last = 0;
    while (*code == 0 && count < names->count && (count == 0 || now < until)) {
        before = now;
        if (unlinkat(directory, names->text[count], flags) == 0 || errno == ENOENT)
            count++;
        else
            *code = errno;
        now = monotonic_ns();
        times->last = now - before;
    }
    times->all = now - began;
    return count;
}

/* Where a directory must be for anything to be removed from it. */
struct place {
    Py_ssize_t levels; /* below the tree's top */
    struct identity top, home;
};

static bool is_same(struct identity one, struct identity other)
{
    return one.device == other.device && one.inode == other.inode;
}

/* 0, or the number of an error: ESTALE where it is elsewhere by now. Without Python's lock. */
static int check_place(int directory, const struct place *place)
{
    struct identity top, home;
    if (!identify_above(directory, place->levels, &top, &home))
        return errno;
    return is_same(top, place->top) && is_same(home, place->home) ? 0 : ESTALE;
}

static bool parse_place(PyObject *argument, struct place *place)
{
    return PyArg_ParseTuple(argument, "n(KK)(KK):place", &place->levels, &place->top.device, &place->top.inode,
                            &place->home.device, &place->home.inode);
}

static PyObject *refuse_place(int code)
{
    PyObject *error = Py_BuildValue("(is)", code, code == ESTALE ? "was moved while it was removed" : strerror(code));
    if (error != NULL) {
        PyErr_SetObject(PyExc_OSError, error);
        Py_DECREF(error);
    }
    return NULL;
}

static PyObject *remove_names(PyObject *arguments, const char *format, int flags)
{
    int directory;
    PyObject *list, *where;
    Py_ssize_t at;
    long long until;
    if (!PyArg_ParseTuple(arguments, format, &directory, &list, &at, &until, &where))
        return NULL;
    struct place place;
    if (where != Py_None && !parse_place(where, &place))
        return NULL;
    struct names names;
    if (!hold(&names, list, at))
        return NULL;
    int code = 0, misplaced;
    struct times times = {0, 0};
    Py_ssize_t count = 0;
    Py_BEGIN_ALLOW_THREADS
    misplaced = where == Py_None ? 0 : check_place(directory, &place);
    if (misplaced == 0)
        count = unlink_each(directory, &names, flags, until, &code, &times);
    Py_END_ALLOW_THREADS
    let_go(&names);
    if (misplaced != 0)
        return refuse_place(misplaced);
    return Py_BuildValue("(niLL)", count, code, (long long)times.all, (long long)times.last);
}

PyDoc_STRVAR(unlink_doc, "unlink(directory, names, at, until, place) -> (count, code, took, last)");

static PyObject *unlink_names(PyObject *module, PyObject *arguments)
{
    (void)module;
    return remove_names(arguments, "iOnLO:unlink", 0);
}

PyDoc_STRVAR(rmdir_doc, "rmdir(directory, names, at, until, place) -> (count, code, took, last)");

static PyObject *rmdir_names(PyObject *module, PyObject *arguments)
{
    (void)module;
    return remove_names(arguments, "iOnLO:rmdir", AT_REMOVEDIR);
}

/* --- the module ---------------------------------------------------------------------------------------------------- */

static PyMethodDef methods[] = {
    {"open_beneath", open_beneath, METH_VARARGS, open_beneath_doc},
    {"identities_above", identities_above, METH_VARARGS, identities_above_doc},
    {"list_names", list_names, METH_VARARGS, list_names_doc},
    {"attributes", attributes, METH_VARARGS, attributes_doc},
    {"unlink", unlink_names, METH_VARARGS, unlink_doc},
    {"rmdir", rmdir_names, METH_VARARGS, rmdir_doc},
    {NULL, NULL, 0, NULL},
};

static PyModuleDef_Slot slots[] = {{0, NULL}};

static struct PyModuleDef definition = {
    .m_base = PyModuleDef_HEAD_INIT,
    .m_name = "_native",
    .m_doc = "The innermost loops of reading and removing; see sweeper_gui.storage.bulk.",
    .m_size = 0,
    .m_methods = methods,
    .m_slots = slots,
};

PyMODINIT_FUNC PyInit__native(void)
{
    return PyModuleDef_Init(&definition);
}
