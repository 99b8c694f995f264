/*
 * The launcher of a program cell: makes the system calls of its plan, and becomes the program; or
 * the init of a box.
 *
 * Freestanding and of 5 kB, because what Python would be here, a fork of the spawner, costs 2 ms a
 * cell: pages copied on write, and their end.  `make init` builds it.  It is told everything as
 * data by nsmagic/run/launchorder.py, where the layout is written down; 3 is the socket to the
 * spawner, on which the order comes with the descriptors of channel, stdin, stdout, stderr and
 * working directory.  Everything else that it says are frames of nsmagic/run/channel.py.
 */

typedef unsigned int u32;
typedef unsigned long u64;

#if defined(__x86_64__)
enum {
	READ = 0, WRITE = 1, OPEN = 2, CLOSE = 3, IOCTL = 16, PAUSE = 34, SENDTO = 44,
	RECVMSG = 47, CLONE = 56, EXECVE = 59, FCNTL = 72, FCHDIR = 81, SETSID = 112, PRCTL = 157,
	CLOCK_GETTIME = 228, EXIT = 231, DUP2 = 33, CLONE3 = 435, OPENAT = 257,
	SIGACTION = 13, SIGPROCMASK = 14, CHDIR = 80, MEMFD_CREATE = 319, EXECVEAT = 322, RECVFROM = 45,
};

static long call(long number, long a, long b, long c, long d, long e, long f)
{
	long result;
	register long r10 __asm__("r10") = d;
	register long r8 __asm__("r8") = e;
	register long r9 __asm__("r9") = f;
	__asm__ volatile("syscall" : "=a"(result)
			 : "a"(number), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
			 : "rcx", "r11", "memory");
	return result;
}
#else
#error "the numbers of system calls here and in launchorder.py are those of x86-64"
#endif

#include "init.h"

#define CALL(number, a, b, c) call(number, (long)(a), (long)(b), (long)(c), 0, 0, 0)

enum { ORDERS = 3, FDS = 5, SLOTS = 16, SIGCHLD = 17, SIGKILL = 9, SET_PDEATHSIG = 1 };
enum { ENOENT = 2, ESRCH = 3, EINTR = 4, ENOEXEC = 8, EAGAIN = 11, ENOTDIR = 20 };
enum { PEEK = 2, DONTWAIT = 0x40, NOSIGNAL = 0x4000 };
enum { O_WRONLY = 1, O_CLOEXEC = 0x80000, CLOEXEC_CMSG = 0x40000000 };
enum { CLONE_PARENT = 0x8000, TIOCSCTTY = 0x540e, F_SETFD = 2 };
enum { MFD_CLOEXEC = 1, AT_EMPTY_PATH = 0x1000, SIG_BLOCK = 0, MOST_FDS = 64 };
#define CLONE_INTO_CGROUP 0x200000000UL

/* What stands in the place of a system call's number. */
enum { NOTHING = 0x10000, WRITE_FILE, FORK, CHECK_PROCESS };
/* The index of a call that belongs to no step, and that nobody hears of. */
#define BEFORE 0xffffffff

/* `tolerated` has an errno in each byte, or is EVERY.  `strings` and `slots` say, a bit for each,
 * which arguments are offsets, and which are kept results.  `kept` is where the result is kept, and
 * `unless` how many calls before this one the call stands whose success makes it needless; both 0
 * for none. */
struct order { u32 size, calls, argv, script, environment, paths, body, shown, tty, box; };
struct step {
	u32 number, tolerated, index, path, strings, slots, kept, unless, done, unused;
	long arguments[5];
};
#define EVERY 0xffffffff

/* The order: offsets in it count from its start.  Only what is written takes memory. */
static char base[8 << 20] __attribute__((aligned(16)));
static long channel;         /* to the notebook's kernel */
static int heir;             /* whether our parent must still take note of us */
static char text[80000];     /* the frame that is being written */
static u32 length;
static char spent[2048];     /* milliseconds of each step, as JSON without its brackets */
static u32 spent_length;
static struct { u64 size; int level, type, fds[FDS + 1]; } rights;
static long slots[SLOTS];    /* what calls returned, mostly descriptors */

static const u64 by_default[4]; /* a struct sigaction */

static void end(int status)
{
	CALL(EXIT, status, 0, 0);
}

static u32 put_text(char *to, const char *from)
{
	u32 size = 0;
	for (; from[size]; size++)
		to[size] = from[size];
	return size;
}

static u32 put_number(char *to, u64 number, u32 digits)
{
	char reversed[24];
	u32 size = 0, left;
	do {
		reversed[size++] = '0' + number % 10;
		number /= 10;
	} while (number || size < digits);
	for (left = size; left; left--)
		*to++ = reversed[left - 1];
	return size;
}

static void say(const char *words)
{
	length += put_text(text + length, words);
}

static void say_number(u64 number)
{
	length += put_number(text + length, number, 1);
}

static void begin_frame(const char *words)
{
	length = 8;
	say(words);
}

static void send(long socket)
{
	u32 size = length - 8;
	for (int i = 0; i < 4; i++) {
		text[i] = size >> (24 - 8 * i);
		text[4 + i] = 0;
	}
	call(SENDTO, socket, (long)text, length, NOSIGNAL, 0, 0);
}

static void read_whole(long fd, char *to, u64 size)
{
	while (size) {
		long got = CALL(READ, fd, to, size);
		if (got == -EINTR)
			continue;
		if (got <= 0)
			end(255);
		to += got;
		size -= got;
	}
}

/* Wait until our parent has taken note of us, and end with it from then on. */
static void be_noted(void)
{
	unsigned char head[8];
	char rest[256];
	if (!heir)
		return;
	heir = 0;
	read_whole(ORDERS, (char *)head, 8);
	u32 size = head[2] << 8 | head[3];
	read_whole(ORDERS, rest, size < sizeof rest ? size : sizeof rest);
	CALL(PRCTL, SET_PDEATHSIG, SIGKILL, 0);
	/* Killed before that it sent no signal, and its sockets were closed before it was dead. */
	if (call(RECVFROM, ORDERS, (long)rest, 1, PEEK | DONTWAIT, 0, 0) != -EAGAIN)
		end(255);
}

static void refuse(u32 index, long error, u32 path)
{
	be_noted();
	begin_frame("{\"kind\": \"failed\", \"index\": ");
	say_number(index);
	say(", \"errno\": ");
	say_number(error);
	say(", \"text\": \"\", \"path\": ");
	say(path ? base + path : "null");
	say(", \"spent\": [");
	say(spent);
	say("]}");
	send(channel);
	end(1);
}

static u64 now(void)
{
	u64 time[2]; /* the wall clock, because a time namespace moves all others */
	CALL(CLOCK_GETTIME, 0, time, 0);
	return time[0] * 1000000 + time[1] / 1000;
}

static void note_spent(u64 start)
{
	u64 micro = now() - start;
	if (spent_length > sizeof spent - 64)
		return;
	if (spent_length) {
		spent[spent_length++] = ',';
	}
	spent_length += put_number(spent + spent_length, micro / 1000, 1);
	spent[spent_length++] = '.';
	spent_length += put_number(spent + spent_length, micro % 1000, 3);
	spent[spent_length] = 0;
}

static long write_file(const char *path, const char *content)
{
	u64 size = 0;
	while (content[size])
		size++;
	long fd = CALL(OPEN, path, O_WRONLY | O_CLOEXEC, 0);
	if (fd < 0)
		return fd;
	long result = CALL(WRITE, fd, content, size);
	CALL(CLOSE, fd, 0, 0);
	return result < 0 ? result : 0;
}

/* Go on as a child of our parent, born into `cgroup` unless that is -1; we are killed by it. */
static long fork_here(long cgroup)
{
	long pid;
	if (cgroup >= 0) {
		u64 words[11] = { CLONE_PARENT | CLONE_INTO_CGROUP };
		words[10] = cgroup;
		pid = CALL(CLONE3, words, sizeof words, 0);
	} else {
		pid = call(CLONE, CLONE_PARENT | SIGCHLD, 0, 0, 0, 0, 0);
	}
	if (pid > 0) {
		begin_frame("{\"kind\": \"forked\", \"kept\": false, \"pid\": ");
		say_number(pid);
		say("}");
		send(ORDERS);
		for (;;) /* an end of ours could be seen before the word */
			CALL(PAUSE, 0, 0, 0);
	}
	heir = pid == 0;
	return pid;
}

/* Whether the process is alive, and the one that began then, proc_pid_stat(5); a `start` of 0 is
 * any.  ESRCH if not.  A zombie with other threads is one whose first thread has ended. */
static long check_process(long pidfd, long directory, u64 start)
{
	enum { STATE = 0, THREADS = 17, START = 19 };
	char stat[1024];
	u64 numbers[START + 1] = { 0 };
	if (pidfd < 0 || directory < 0)
		return -ESRCH;
	long fd = call(OPENAT, directory, (long)"stat", O_CLOEXEC, 0, 0, 0);
	if (fd < 0)
		return fd == -ENOENT ? -ESRCH : fd;
	long size = CALL(READ, fd, stat, sizeof stat), at = size;
	CALL(CLOSE, fd, 0, 0);
	while (at > 0 && stat[at - 1] != ')') /* its name may hold more of them */
		at--;
	long state = at + 1;
	for (long field = -1; at < size && field <= START; at++) {
		if (stat[at] == ' ')
			field++;
		else if (field >= 0 && field <= START)
			numbers[field] = numbers[field] * 10 + stat[at] - '0';
	}
	if (state >= size || ((stat[state] == 'Z' || stat[state] == 'X') && numbers[THREADS] <= 1))
		return -ESRCH;
	return start && start != numbers[START] ? -ESRCH : 0;
}

static long make(const struct step *step)
{
	long a[5];
	for (int i = 0; i < 5; i++) {
		a[i] = step->arguments[i];
		if (step->strings >> i & 1)
			a[i] += (long)base;
		if (step->slots >> i & 1)
			a[i] = slots[a[i]];
	}
	switch (step->number) {
	case NOTHING:
		return 0;
	case WRITE_FILE:
		return write_file((char *)a[0], (char *)a[1]);
	case FORK:
		return fork_here(a[0]);
	case CHECK_PROCESS:
		return check_process(a[0], a[1], a[2]);
	}
	return call(step->number, a[0], a[1], a[2], a[3], a[4], 0);
}

static int tolerates(const struct step *step, u32 error)
{
	for (int i = 0; i < 32; i += 8)
		if ((step->tolerated >> i & 0xff) == error)
			return 1;
	return step->tolerated == EVERY;
}

static void make_all(const struct order *order)
{
	struct step *step = (struct step *)(base + sizeof *order);
	const struct step *last = step + order->calls;
	while (step < last) {
		u32 index = step->index;
		u64 start = now();
		for (; step < last && step->index == index; step++) {
			step->done = step->unless && (step - step->unless)->done;
			if (step->done)
				continue;
			long result = make(step);
			if (step->kept)
				slots[step->kept - 1] = result;
			step->done = result >= 0;
			if (step->done || tolerates(step, -result))
				continue;
			if (index == BEFORE)
				end(255);
			refuse(index, -result, step->path);
		}
		if (index != BEFORE)
			note_spent(start);
	}
}

/* Receive the order, and with its first bytes the descriptors. */
static struct order *receive(void)
{
	static struct { void *at; u64 size; } part = { base, sizeof(struct order) };
	static struct { void *name; u32 size, pad; void *parts; u64 count; void *control; u64 room;
			int flags; } message = { 0, 0, 0, &part, 1, &rights, sizeof rights, 0 };
	struct order *order = (struct order *)base;
	long got;
	do {
		got = CALL(RECVMSG, ORDERS, &message, CLOEXEC_CMSG);
	} while (got == -EINTR);
	if (got <= 0 || rights.size != 16 + 4 * FDS)
		end(255);
	read_whole(ORDERS, base + got, sizeof *order - got);
	if (order->size < sizeof *order || order->size > sizeof base)
		end(255);
	read_whole(ORDERS, base + sizeof *order, order->size - sizeof *order);
	return order;
}

static char **pointers(u32 at)
{
	u64 *list = (u64 *)(base + at);
	for (u64 *each = list; *each; each++)
		*each += (u64)base;
	return (char **)list;
}

/* bash's rule: no NUL byte in the first line.  execvp(3) gives sh also what is no text. */
static int is_script(const char *path)
{
	char start[80];
	long fd = CALL(OPEN, path, O_CLOEXEC, 0);
	long size = fd < 0 ? 0 : CALL(READ, fd, start, sizeof start);
	if (fd < 0)
		return 0;
	CALL(CLOSE, fd, 0, 0);
	for (long i = 0; i < size && start[i] != '\n'; i++)
		if (!start[i])
			return 0;
	return 1;
}

/* Execute the first of the paths that can be; return the errno that tells most. */
static long execute(const struct order *order)
{
	char **argv = pointers(order->argv), **environment = pointers(order->environment);
	char **script = pointers(order->script);
	long kept = 0, last = ENOENT;
	const char *found = 0;
	for (char **path = pointers(order->paths); *path; path++) {
		last = -CALL(EXECVE, *path, argv, environment);
		if (last != ENOENT && last != ENOTDIR && !kept) {
			kept = last;
			found = *path;
		}
	}
	if (kept == ENOEXEC && is_script(found)) {
		script[1] = (char *)found;
		return -CALL(EXECVE, "/bin/sh", script, environment);
	}
	return kept ? kept : last;
}

/* The init as a program, so that it goes by its name, has its environment and least memory. */
__asm__(".pushsection .rodata\n"
	"init: .incbin \"" INIT_FILE "\"\n"
	"init_end: .popsection");
extern const char init[], init_end[];

/* Must be had before the steps: later there may be no memory for it, or no leave. */
static long open_init(void)
{
	long fd = CALL(MEMFD_CREATE, "nsmagic-init", MFD_CLOEXEC, 0);
	CALL(WRITE, fd, init, init_end - init);
	return fd;
}

/* Be the init, with nothing open and no directory of the notebook held. */
static void keep_box(const struct order *order, long program)
{
	u64 waited = WAITED;
	call(SIGPROCMASK, SIG_BLOCK, (long)&waited, 0, 8, 0, 0);
	CALL(CHDIR, "/", 0, 0);
	for (int i = 0; i < 3; i++)
		CALL(CLOSE, i, 0, 0);
	call(EXECVEAT, program, (long)"", (long)pointers(order->argv),
	     (long)pointers(order->environment), AT_EMPTY_PATH, 0);
	for (int i = 3; i < MOST_FDS; i++) /* SELinux: be what it does, in what memory we have */
		CALL(CLOSE, i, 0, 0);
	keep();
}

__attribute__((force_align_arg_pointer)) void _start(void)
{
	CALL(PRCTL, SET_PDEATHSIG, SIGKILL, 0);
	CALL(PRCTL, SET_NAME, "nsmagic-launch", 0);
	CALL(FCNTL, ORDERS, F_SETFD, 1);
	for (int i = 32; i < 34; i++) /* glibc's own, which its posix_spawn(3) leaves ignored */
		call(SIGACTION, i, (long)by_default, 0, 8, 0, 0);
	struct order *order = receive();
	channel = rights.fds[0];
	if (CALL(FCHDIR, rights.fds[4], 0, 0) < 0)
		end(255);
	for (int i = 0; i < 3; i++)
		CALL(DUP2, rights.fds[1 + i], i, 0);
	for (int i = 1; i < FDS; i++)
		CALL(CLOSE, rights.fds[i], 0, 0);
	long program = order->box ? open_init() : -1;
	make_all(order);
	be_noted();
	CALL(SETSID, 0, 0, 0);
	if (order->tty)
		CALL(IOCTL, 0, TIOCSCTTY, 0);
	begin_frame("{\"kind\": \"ready\", \"spent\": [");
	say(spent);
	say("]}");
	send(channel);
	if (order->box)
		keep_box(order, program);
	refuse(order->body, execute(order), order->shown);
}
