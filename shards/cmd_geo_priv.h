/* What the files of geo commands share: cmd_geo.c has places and single members, cmd_geo_search.c the searches. */
#pragma once
#include "core/geo.h"
#include "shards/exec.h"

/* words[0], words[1]: longitude and latitude. False: the error was replied. */
bool geo_parse_point(struct exec *x, const struct slice *words, struct geo_point *point);
bool geo_parse_unit(struct exec *x, struct slice word, double *metres); /* of one unit; false: likewise */
void geo_reply_distance(struct exec *x, double distance);               /* with four digits behind the point */
void geo_reply_point(struct exec *x, struct geo_point point);
