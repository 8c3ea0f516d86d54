/*
 * slotfs SETTINGS BACKING THREADS MOUNT...
 *
 * A pass-through file system that behaves like a file server across a network: every operation takes a time of its
 * own, only so many are served at once, and the rest waits its turn in one queue for all mounts, first come, first
 * served. The mounts are the clients of one server.
 *
 * SETTINGS is a file of 64-bit words that is mapped into memory: the first ones are set from outside at any time (see
 * struct settings), the others count what was done. It prints "ready" once everything is mounted, and ends on SIGTERM.
 *
 * Latency stands for the network and the server's work, so it is spent while holding a service slot. Attributes and
 * names are cached by the kernel for as long as SETTINGS says, as an NFS client caches them.
 */
#define FUSE_USE_VERSION 31
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <fuse.h>
#include <fuse_lowlevel.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

enum operation { LOOK_UP, OPEN_DIRECTORY, LIST, UNLINK, RMDIR, RENAME, MAKE, CHANGE, DATA, OPERATIONS };

struct settings {
    /* set from outside */
    uint64_t read_ns, write_ns; /* how long a reading and a changing operation is served */
    uint64_t slots;             /* how many are served at once; 0: any number */
    uint64_t cache_ms;          /* how long names and attributes are cached; read at the start */
    uint64_t with_attributes;   /* whether a listing brings the attributes along (READDIRPLUS); read at the start */
    /* counted here */
    uint64_t served, most_served, most_waiting;
    uint64_t counts[OPERATIONS];
};

static struct settings *settings;
static int backing;

/* --- the server's queue ------------------------------------------------------------------------------------------ */

struct turn {
    sem_t come;
    struct turn *next;
};

static pthread_mutex_t queue_lock = PTHREAD_MUTEX_INITIALIZER;
static struct turn *first, **last = &first;
static uint64_t served, waiting;

/* Holds the lock. */
static void let_in(void) {
    while (first && (!settings->slots || served < settings->slots)) {
        struct turn *turn = first;
        first = turn->next;
        if (!first)
            last = &first;
        waiting--;
        served++;
        sem_post(&turn->come);
    }
    settings->served = served;
    if (served > settings->most_served)
        settings->most_served = served;
}

static void serve(enum operation operation) {
    uint64_t took = operation == LOOK_UP || operation == OPEN_DIRECTORY || operation == LIST ? settings->read_ns
                    : operation == DATA                                                      ? 0
                                                                                             : settings->write_ns;
    struct turn turn = {.next = NULL};
    sem_init(&turn.come, 0, 0);
    pthread_mutex_lock(&queue_lock);
    settings->counts[operation]++;
    *last = &turn;
    last = &turn.next;
    waiting++;
    let_in();
    if (waiting > settings->most_waiting)
        settings->most_waiting = waiting;
    pthread_mutex_unlock(&queue_lock);
    while (sem_wait(&turn.come) && errno == EINTR)
        ;
    sem_destroy(&turn.come);
    struct timespec left = {.tv_sec = took / 1000000000, .tv_nsec = took % 1000000000};
    while (took && nanosleep(&left, &left) && errno == EINTR)
        ;
}

static void served_one(void) {
    pthread_mutex_lock(&queue_lock);
    served--;
    let_in();
    pthread_mutex_unlock(&queue_lock);
}

/* Does one call under the server's rules and answers as FUSE wants it. */
#define SERVED(operation, call)                                                                                        \
    do {                                                                                                               \
        serve(operation);                                                                                              \
        int answer = (call) == -1 ? -errno : 0;                                                                        \
        served_one();                                                                                                  \
        return answer;                                                                                                 \
    } while (0)

/* --- the operations ---------------------------------------------------------------------------------------------- */

static const char *below(const char *path) { return path[1] ? path + 1 : "."; }

static int do_getattr(const char *path, struct stat *status, struct fuse_file_info *file) {
    if (file)
        SERVED(LOOK_UP, fstat(file->fh, status));
    SERVED(LOOK_UP, fstatat(backing, below(path), status, AT_SYMLINK_NOFOLLOW));
}

static int do_opendir(const char *path, struct fuse_file_info *file) {
    serve(OPEN_DIRECTORY);
    int descriptor = openat(backing, below(path), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    int answer = descriptor == -1 ? -errno : 0;
    served_one();
    file->fh = descriptor;
    return answer;
}

static int do_readdir(const char *path, void *buffer, fuse_fill_dir_t fill, off_t offset, struct fuse_file_info *file,
                      enum fuse_readdir_flags flags) {
    (void)path, (void)offset;
    serve(LIST);
    DIR *listing = fdopendir(openat(file->fh, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    int answer = listing ? 0 : -errno;
    for (struct dirent *entry; listing && (entry = readdir(listing));) {
        struct stat status = {.st_ino = entry->d_ino, .st_mode = (mode_t)entry->d_type << 12};
        int plus = flags & FUSE_READDIR_PLUS && !fstatat(file->fh, entry->d_name, &status, AT_SYMLINK_NOFOLLOW);
        if (fill(buffer, entry->d_name, &status, 0, plus ? FUSE_FILL_DIR_PLUS : 0))
            break;
    }
    if (listing)
        closedir(listing);
    served_one();
    return answer;
}

static int do_releasedir(const char *path, struct fuse_file_info *file) {
    (void)path;
    return close(file->fh) ? -errno : 0;
}

static int do_unlink(const char *path) { SERVED(UNLINK, unlinkat(backing, below(path), 0)); }

static int do_rmdir(const char *path) { SERVED(RMDIR, unlinkat(backing, below(path), AT_REMOVEDIR)); }

static int do_rename(const char *from, const char *to, unsigned flags) {
    SERVED(RENAME, syscall(SYS_renameat2, backing, below(from), backing, below(to), flags));
}

static int do_mkdir(const char *path, mode_t mode) { SERVED(MAKE, mkdirat(backing, below(path), mode)); }

static int do_mknod(const char *path, mode_t mode, dev_t device) {
    SERVED(MAKE, mknodat(backing, below(path), mode, device));
}

static int do_symlink(const char *target, const char *path) { SERVED(MAKE, symlinkat(target, backing, below(path))); }

static int do_link(const char *from, const char *to) {
    SERVED(MAKE, linkat(backing, below(from), backing, below(to), 0));
}

static int do_chmod(const char *path, mode_t mode, struct fuse_file_info *file) {
    (void)file;
    SERVED(CHANGE, fchmodat(backing, below(path), mode, 0));
}

static int do_chown(const char *path, uid_t owner, gid_t group, struct fuse_file_info *file) {
    (void)file;
    SERVED(CHANGE, fchownat(backing, below(path), owner, group, AT_SYMLINK_NOFOLLOW));
}

static int do_utimens(const char *path, const struct timespec times[2], struct fuse_file_info *file) {
    (void)file;
    SERVED(CHANGE, utimensat(backing, below(path), times, AT_SYMLINK_NOFOLLOW));
}

static int do_truncate(const char *path, off_t size, struct fuse_file_info *file) {
    if (file)
        SERVED(CHANGE, ftruncate(file->fh, size));
    int descriptor = openat(backing, below(path), O_WRONLY | O_NOFOLLOW | O_CLOEXEC);
    if (descriptor == -1)
        return -errno;
    int answer = ftruncate(descriptor, size) ? -errno : 0;
    close(descriptor);
    return answer;
}

static int opened(const char *path, struct fuse_file_info *file, int flags, mode_t mode) {
    int descriptor = openat(backing, below(path), flags | O_NOFOLLOW | O_CLOEXEC, mode);
    if (descriptor == -1)
        return -errno;
    file->fh = descriptor;
    return 0;
}

static int do_open(const char *path, struct fuse_file_info *file) {
    serve(LOOK_UP);
    int answer = opened(path, file, file->flags & ~(O_CREAT | O_EXCL), 0);
    served_one();
    return answer;
}

static int do_create(const char *path, mode_t mode, struct fuse_file_info *file) {
    serve(MAKE);
    int answer = opened(path, file, file->flags | O_CREAT, mode);
    served_one();
    return answer;
}

static int do_release(const char *path, struct fuse_file_info *file) {
    (void)path;
    return close(file->fh) ? -errno : 0;
}

static int do_read(const char *path, char *buffer, size_t size, off_t offset, struct fuse_file_info *file) {
    (void)path;
    serve(DATA);
    ssize_t count = pread(file->fh, buffer, size, offset);
    int answer = count == -1 ? -errno : (int)count;
    served_one();
    return answer;
}

static int do_write(const char *path, const char *buffer, size_t size, off_t offset, struct fuse_file_info *file) {
    (void)path;
    serve(DATA);
    ssize_t count = pwrite(file->fh, buffer, size, offset);
    int answer = count == -1 ? -errno : (int)count;
    served_one();
    return answer;
}

static int do_fsync(const char *path, int only_data, struct fuse_file_info *file) {
    (void)path, (void)only_data;
    SERVED(CHANGE, fsync(file->fh));
}

static int do_readlink(const char *path, char *buffer, size_t size) {
    serve(LOOK_UP);
    ssize_t count = readlinkat(backing, below(path), buffer, size - 1);
    int answer = count == -1 ? -errno : 0;
    served_one();
    buffer[count == -1 ? 0 : count] = 0;
    return answer;
}

static int do_statfs(const char *path, struct statvfs *status) {
    (void)path;
    SERVED(LOOK_UP, fstatvfs(backing, status));
}

static void *do_init(struct fuse_conn_info *connection, struct fuse_config *config) {
    double seconds = settings->cache_ms / 1000.0;
    config->use_ino = 1;
    config->hard_remove = 1;
    config->entry_timeout = config->attr_timeout = seconds;
    config->negative_timeout = 0;
    connection->want &= ~(FUSE_CAP_READDIRPLUS | FUSE_CAP_READDIRPLUS_AUTO);
    if (settings->with_attributes)
        connection->want |= FUSE_CAP_READDIRPLUS;
    return NULL;
}

static const struct fuse_operations operations = {
    .init = do_init, .getattr = do_getattr, .opendir = do_opendir, .readdir = do_readdir,
    .releasedir = do_releasedir, .unlink = do_unlink, .rmdir = do_rmdir, .rename = do_rename, .mkdir = do_mkdir,
    .mknod = do_mknod, .symlink = do_symlink, .link = do_link, .chmod = do_chmod, .chown = do_chown,
    .utimens = do_utimens, .truncate = do_truncate, .open = do_open, .create = do_create, .release = do_release,
    .read = do_read, .write = do_write, .fsync = do_fsync, .readlink = do_readlink, .statfs = do_statfs,
};

/* --- look-ups in one directory at the same time -------------------------------------------------------------------- */

/*
 * The kernel serialises look-ups in one directory unless the answer to its INIT says FUSE_PARALLEL_DIROPS, which
 * libfuse 3.14 leaves out. An NFS client does not serialise them. libfuse answers with writev, so this one stands
 * before the C library's, and sets the bit in the answer that is as long as INIT's and comes first on its channel.
 */
#define PARALLEL_DIROPS (1u << 18)
struct answer_header {
    uint32_t length;
    int32_t error;
    uint64_t unique;
};
struct init_answer {
    uint32_t major, minor, max_readahead, flags;
};
static int patched[1024];

ssize_t writev(int descriptor, const struct iovec *parts, int count) {
    if (descriptor >= 0 && descriptor < 1024 && !patched[descriptor] && count == 2 &&
        parts[0].iov_len == sizeof(struct answer_header) && parts[1].iov_len >= sizeof(struct init_answer)) {
        struct init_answer *answer = parts[1].iov_base;
        if (answer->major == 7) {
            answer->flags |= PARALLEL_DIROPS;
            patched[descriptor] = 1;
        }
    }
    return syscall(SYS_writev, descriptor, parts, count);
}

/* --- mounts and threads -------------------------------------------------------------------------------------------- */

static void *answer_requests(void *argument) {
    struct fuse_session *session = argument;
    struct fuse_buf buffer = {.mem = NULL};
    prctl(PR_SET_TIMERSLACK, 1000UL); /* nanoseconds: a millisecond is to be one */
    while (!fuse_session_exited(session)) {
        int answer = fuse_session_receive_buf(session, &buffer);
        if (answer == -EINTR)
            continue;
        if (answer <= 0)
            break;
        fuse_session_process_buf(session, &buffer);
    }
    return NULL;
}

static void fail(const char *what) {
    perror(what);
    exit(1);
}

int main(int count, char **arguments) {
    if (count < 5) {
        fprintf(stderr, "usage: slotfs SETTINGS BACKING THREADS MOUNT...\n");
        return 2;
    }
    int file = open(arguments[1], O_RDWR | O_CLOEXEC);
    if (file == -1 || ftruncate(file, sizeof(struct settings)))
        fail(arguments[1]);
    settings = mmap(NULL, sizeof(struct settings), PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    if (settings == MAP_FAILED)
        fail(arguments[1]);
    backing = open(arguments[2], O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (backing == -1)
        fail(arguments[2]);
    int threads = atoi(arguments[3]), mounts = count - 4;
    umask(0);

    sigset_t ending;
    sigemptyset(&ending);
    sigaddset(&ending, SIGTERM);
    sigaddset(&ending, SIGINT);
    pthread_sigmask(SIG_BLOCK, &ending, NULL);
    struct fuse **file_systems = calloc(mounts, sizeof *file_systems);
    for (int number = 0; number < mounts; number++) {
        char *options[] = {"slotfs", "-o", "allow_other,fsname=slotfs,subtype=slotfs"};
        struct fuse_args fuse_arguments = FUSE_ARGS_INIT(3, options);
        struct fuse *fuse = fuse_new(&fuse_arguments, &operations, sizeof operations, NULL);
        if (!fuse || fuse_mount(fuse, arguments[4 + number]))
            fail(arguments[4 + number]);
        file_systems[number] = fuse;
        pthread_attr_t small;
        pthread_attr_init(&small);
        pthread_attr_setstacksize(&small, 256 * 1024);
        for (int thread = 0; thread < threads; thread++) {
            pthread_t unused;
            if (pthread_create(&unused, &small, answer_requests, fuse_get_session(fuse)))
                fail("a thread");
        }
    }
    puts("ready");
    fflush(stdout);
    int signal;
    sigwait(&ending, &signal);
    for (int number = 0; number < mounts; number++)
        fuse_unmount(file_systems[number]);
    _exit(0); /* threads may still be serving what nobody waits for any more */
}
