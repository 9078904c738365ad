/* Start report: what the server chose and why, in the log, before and after it starts. Main thread. */
#pragma once
#include "net/server.h"

void start_report_before(struct server *server); /* version, threads, limits, warnings about options */
/* Where it listens. config: the options of start-up; the server's own may be changing already. */
void start_report_ready(struct server *server, const struct config *config);
