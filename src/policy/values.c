/* The values of rule and protect, one by one: ports, methods, hours, places. Pure; each refusal
 * says what was expected. */
#include "policy/policy_priv.h"

#include "util/span.h"

#include <ctype.h>
#include <stdio.h>
#include <strings.h>

static bool refuse(char *why, const char *text)
{
    (void)snprintf(why, SP_POLICY_WHY, "%s", text);
    return false;
}

/* ---- ports ---- */

static bool parse_port(struct sp_span text, uint16_t *port)
{
    uint64_t value;

    text = sp_span_trim(text);
    if (sp_span_to_u64(text, &value) != SP_OK || value < 1 || value > UINT16_MAX)
        return false;
    *port = (uint16_t)value;
    return true;
}

bool sp_ports_parse(const char *text, struct sp_port_range *range, char *why)
{
    const char *dash = strchr(text, '-');
    size_t low_len = dash != NULL ? (size_t)(dash - text) : strlen(text);

    if (!parse_port(sp_span_of(text, low_len), &range->low))
        return refuse(why, "not a port; expected \"443\" or a range such as \"1025-65535\"");
    range->high = range->low;
    if (dash != NULL && !parse_port(sp_span_cstr(dash + 1), &range->high))
        return refuse(why, "not a range of ports; expected one such as \"1025-65535\"");
    if (range->high < range->low)
        return refuse(why, "the range ends before it begins");
    return true;
}

/* ---- methods ---- */

/* Methods are compared with case (RFC 9110 9.1): "get" would match nothing, and a denial that
 * matches nothing is a hole. */
bool sp_method_check(const char *text, char *why)
{
    if (text[0] == '\0')
        return refuse(why, "an empty method matches nothing");
    for (const char *at = text; *at != '\0'; at++) {
        if (*at >= 'a' && *at <= 'z')
            return refuse(why, "methods are written in capitals, such as CONNECT or GET");
        if (!isalnum((unsigned char)*at) && strchr("!#$%&'*+-.^_`|~", *at) == NULL)
            return refuse(why, "not a method; expected a word such as CONNECT or GET");
    }
    return true;
}

/* ---- hours ---- */

static const char days[7][3] = {"Su", "Mo", "Tu", "We", "Th", "Fr", "Sa"};

/* One day's name at *at, which moves on; -1: none. */
static int take_day(const char **at)
{
    for (int day = 0; day < 7; day++) {
        if (strncasecmp(*at, days[day], 2) == 0) {
            *at += 2;
            return day;
        }
    }
    return -1;
}

/* "Mo-Fr", "Mo,We", "Fr-Mo,We": the days as bits. */
static bool take_days(const char **at, unsigned *set)
{
    *set = 0;
    for (;;) {
        int first = take_day(at);
        int last = first;

        if (first < 0)
            return false;
        if (**at == '-') {
            (*at)++;
            last = take_day(at);
        }
        if (last < 0)
            return false;
        for (int day = first;; day = (day + 1) % 7) {
            *set |= 1u << day;
            if (day == last)
                break;
        }
        if (**at != ',')
            return true;
        (*at)++;
    }
}

/* "08:00": minutes since midnight, 24:00 included. */
static bool take_time(const char **at, unsigned *minute)
{
    const char *t = *at;

    for (size_t i = 0; i < 5; i++) {
        if (i == 2 ? t[i] != ':' : t[i] < '0' || t[i] > '9')
            return false;
    }
    *minute = (unsigned)((t[0] - '0') * 10 + (t[1] - '0')) * 60 +
              (unsigned)((t[3] - '0') * 10 + (t[4] - '0'));
    *at += 5;
    return t[3] < '6' && *minute <= 24 * 60;
}

static void skip_spaces(const char **at)
{
    while (**at == ' ' || **at == '\t')
        (*at)++;
}

/* Past the end of the day means on into the next, and past Saturday into Sunday. */
static void fill_day(struct sp_week *week, unsigned day, unsigned from, unsigned to)
{
    for (unsigned i = from; i < to; i++) {
        unsigned minute = (day * 24 * 60 + i) % SP_WEEK_MINUTES;

        week->bits[minute / 8] |= (uint8_t)(1u << (minute % 8));
    }
}

static const char hours_form[] = "not hours; expected days and times such as \"Mo-Fr "
                                 "08:00-18:00\", \"Sa,Su\" or \"22:00-06:00\"";

/* The end is not part of it: 08:00-18:00 is over at 18:00:00. */
bool sp_hours_parse(const char *text, struct sp_week *week, char *why)
{
    const char *at = text;
    unsigned set = 0x7f;
    unsigned from = 0;
    unsigned to = 24 * 60;

    skip_spaces(&at);
    if (!isdigit((unsigned char)*at) && !take_days(&at, &set))
        return refuse(why, hours_form);
    skip_spaces(&at);
    if (*at != '\0') {
        if (!take_time(&at, &from) || *at++ != '-' || !take_time(&at, &to))
            return refuse(why, hours_form);
        skip_spaces(&at);
        if (*at != '\0')
            return refuse(why, hours_form);
    }
    if (from == to || from == 24 * 60)
        return refuse(why, "begins and ends at the same time; a whole day is 00:00-24:00");
    for (unsigned day = 0; day < 7; day++) {
        if ((set & (1u << day)) != 0)
            fill_day(week, day, from, to > from ? to : to + 24 * 60);
    }
    return true;
}

/* ---- networks and places ---- */

bool sp_network_parse(const char *text, struct sp_cidr *cidr, char *why)
{
    if (sp_cidr_parse(cidr, sp_span_cstr(text)) == SP_OK)
        return true;
    return refuse(why, strchr(text, '/') != NULL
                           ? "not a network; expected one such as 10.0.0.0/8 or 2001:db8::/32, "
                             "without bits set past the prefix"
                           : "not an address or network; expected one such as 10.0.0.0/8");
}

/* A last label of digits alone is no name but somebody's address (WHATWG URL, host parsing), and
 * not one that was understood above. */
static bool ends_in_number(const char *name, size_t len)
{
    size_t digits = 0;

    while (digits < len && isdigit((unsigned char)name[len - 1 - digits]))
        digits++;
    return digits > 0 && (digits == len || name[len - 1 - digits] == '.');
}

static bool check_name(const char *name, size_t len, char *why)
{
    if (len == 0 || len > 253 || name[0] == '.')
        return refuse(why, "not a host name");
    for (size_t i = 0; i < len; i++) {
        unsigned char c = (unsigned char)name[i];

        if (c >= 0x80)
            return refuse(why, "not ASCII; write the name as the DNS has it (xn--...)");
        if (c == '*')
            return refuse(why,
                          "\"*\" stands alone; a domain and all below it is written .corp.test");
        if (c == ':')
            return refuse(why, "a port belongs in `ports`, not behind the host");
        if (!isalnum(c) && c != '-' && c != '_' && c != '.')
            return refuse(why, "not a host name; expected a host, a .suffix, a network or *");
        if (c == '.' && i > 0 && name[i - 1] == '.')
            return refuse(why, "not a host name: a label is empty");
    }
    if (ends_in_number(name, len))
        return refuse(why, "neither an address nor a host name");
    return true;
}

static bool parse_name(const char *text, struct sp_place *place, char *why)
{
    size_t len;

    place->kind = text[0] == '.' ? SP_PLACE_SUFFIX : SP_PLACE_HOST;
    text += text[0] == '.';
    len = strlen(text);
    if (len > 0 && text[len - 1] == '.')
        len--; /* the root's dot: the same name */
    if (!check_name(text, len, why))
        return false;
    for (size_t i = 0; i < len; i++)
        place->name[i] = (char)tolower((unsigned char)text[i]);
    place->name_len = len;
    return true;
}

bool sp_place_parse(const char *text, struct sp_place *place, char *why)
{
    if (strcmp(text, "*") == 0) {
        place->kind = SP_PLACE_ANY;
        return true;
    }
    if (sp_cidr_parse(&place->network, sp_span_cstr(text)) == SP_OK) {
        place->kind = SP_PLACE_NETWORK;
        return true;
    }
    if (strchr(text, '/') != NULL)
        return sp_network_parse(text, &place->network, why);
    return parse_name(text, place, why);
}
