/*
 * The init of a box, for which Python would take 3 MB: reaps, passes the end on, ends.
 *
 * Freestanding, so that it runs in any root; `make init` builds it.  SIGHUP, SIGINT, SIGQUIT,
 * SIGTERM and SIGCHLD are blocked by whoever executes it.  See nsmagic/run/boxinit.py, which does
 * the same in Python on other machines.
 */

enum { HUP = 1, INT = 2, QUIT = 3, TERM = 15, CHLD = 17, CONT = 18, NOHANG = 1, SET_NAME = 15 };

#if defined(__x86_64__)
enum { KILL = 62, WAIT4 = 61, GETPID = 39, EXIT = 231, SIGTIMEDWAIT = 128, PRCTL = 157 };

static long call(long number, long a, long b, long c, long d)
{
	long result;
	register long r10 __asm__("r10") = d;
	__asm__ volatile("syscall" : "=a"(result) : "a"(number), "D"(a), "S"(b), "d"(c), "r"(r10)
			 : "rcx", "r11", "memory");
	return result;
}
#elif defined(__aarch64__)
enum { KILL = 129, WAIT4 = 260, GETPID = 172, EXIT = 94, SIGTIMEDWAIT = 137, PRCTL = 167 };

static long call(long number, long a, long b, long c, long d)
{
	register long x8 __asm__("x8") = number;
	register long x0 __asm__("x0") = a;
	register long x1 __asm__("x1") = b;
	register long x2 __asm__("x2") = c;
	register long x3 __asm__("x3") = d;
	__asm__ volatile("svc 0" : "+r"(x0) : "r"(x8), "r"(x1), "r"(x2), "r"(x3) : "memory");
	return x0;
}
#endif

#define BIT(signal) (1UL << ((signal) - 1))

static void reap(void)
{
	while (call(WAIT4, -1, 0, NOHANG, 0) > 0)
		;
}

static void end(long signal)
{
	unsigned long child = BIT(CHLD);
	long tick[2] = { 0, 20 * 1000 * 1000 };

	/* Elsewhere -1 would be everybody on this machine. */
	if (call(GETPID, 0, 0, 0, 0) == 1 && call(KILL, -1, signal, 0, 0) == 0) {
		call(KILL, -1, CONT, 0, 0);
		/* Cells are no children of ours, so we look whether anybody is left: 0.5 s. */
		for (int left = 25; left && call(KILL, -1, 0, 0, 0) == 0; left--) {
			call(SIGTIMEDWAIT, (long)&child, 0, (long)tick, 8);
			reap();
		}
	}
	call(EXIT, 128 + signal, 0, 0, 0);
}

void _start(void)
{
	unsigned long waited = BIT(HUP) | BIT(INT) | BIT(QUIT) | BIT(TERM) | BIT(CHLD);

	call(PRCTL, SET_NAME, (long)"nsmagic-init", 0, 0);
	for (;;) {
		long signal = call(SIGTIMEDWAIT, (long)&waited, 0, 0, 8);
		if (signal == CHLD)
			reap();
		else if (signal == TERM || signal == INT || signal == QUIT)
			end(signal);
	}
}
