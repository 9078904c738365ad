/* Probe: places at which tools from outside (bpftrace, perf, gdb, SystemTap) may look into a server that runs, without
 * a restart: user-space static probes (USDT).
 *
 *    PROBE3(turn, shard->id, length_ns, commands)
 *
 * Where CMake finds sys/sdt.h (Debian: systemtap-sdt-dev), a probe is one `nop` and a note in the binary that says
 * where the arguments are; a tool that listens puts a breakpoint there. Without the header it is nothing at all, and
 * its arguments are not evaluated: hence they have no side effects. perf/README.md has the list and examples.
 *
 * Cost      a nop, and that the arguments are in a register or in memory at that place: what a hot path would have to
 *           compute for it is left out. */
#pragma once

#ifdef SHERD_PROBES /* CMake has found the header */
#include <sys/sdt.h>
#define PROBE3(name, a, b, c)    STAP_PROBE3(sherd, name, a, b, c)
#define PROBE4(name, a, b, c, d) STAP_PROBE4(sherd, name, a, b, c, d)
#else
#define PROBE3(name, a, b, c)    ((void)sizeof(a), (void)sizeof(b), (void)sizeof(c))
#define PROBE4(name, a, b, c, d) ((void)sizeof(a), (void)sizeof(b), (void)sizeof(c), (void)sizeof(d))
#endif
