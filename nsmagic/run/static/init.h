/*
 * The init of a box: reaps, passes the end on, ends.  See nsmagic/run/boxinit.py, which does the
 * same in Python on other machines.  For boxinit.c, and for launcher.c where Linux does not let that
 * one be executed; they have `call` and the numbers EXIT and PRCTL.
 */

enum { HUP = 1, INT = 2, QUIT = 3, TERM = 15, CHLD = 17, CONT = 18, NOHANG = 1, SET_NAME = 15 };

#if defined(__x86_64__)
enum { KILL = 62, WAIT4 = 61, GETPID = 39, SIGTIMEDWAIT = 128 };
#elif defined(__aarch64__)
enum { KILL = 129, WAIT4 = 260, GETPID = 172, SIGTIMEDWAIT = 137 };
#endif

#define BIT(signal) (1UL << ((signal) - 1))
/* Blocked by whoever calls keep() or executes the program. */
#define WAITED (BIT(HUP) | BIT(INT) | BIT(QUIT) | BIT(TERM) | BIT(CHLD))

static void reap(void)
{
	while (call(WAIT4, -1, 0, NOHANG, 0, 0, 0) > 0)
		;
}

static void end_box(long signal)
{
	unsigned long child = BIT(CHLD);
	long tick[2] = { 0, 20 * 1000 * 1000 };

	/* Elsewhere -1 would be everybody on this machine. */
	if (call(GETPID, 0, 0, 0, 0, 0, 0) == 1 && call(KILL, -1, signal, 0, 0, 0, 0) == 0) {
		call(KILL, -1, CONT, 0, 0, 0, 0);
		/* Cells are no children of ours, so we look whether anybody is left: 0.5 s. */
		for (int left = 25; left && call(KILL, -1, 0, 0, 0, 0, 0) == 0; left--) {
			call(SIGTIMEDWAIT, (long)&child, 0, (long)tick, 8, 0, 0);
			reap();
		}
	}
	call(EXIT, 128 + signal, 0, 0, 0, 0, 0);
}

static void keep(void)
{
	unsigned long waited = WAITED;

	call(PRCTL, SET_NAME, (long)"nsmagic-init", 0, 0, 0, 0);
	for (;;) {
		long signal = call(SIGTIMEDWAIT, (long)&waited, 0, 0, 8, 0, 0);
		if (signal == CHLD)
			reap();
		else if (signal == TERM || signal == INT || signal == QUIT)
			end_box(signal);
	}
}
