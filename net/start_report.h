/* Start report: what the server chose and why, in the log, before and after it starts. Main thread. */
#pragma once
#include "net/server.h"

void start_report_before(struct server *server); /* version, threads, limits, warnings about options */
void start_report_ready(struct server *server);  /* where it listens */
