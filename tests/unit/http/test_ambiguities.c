/* The ambiguities that request smuggling and response splitting live on, as one list: each row is a
 * message of which two readers could make different things, by RFC 9110 and 9112 and by what has
 * been found in real servers (CL.TE, TE.CL, TE.TE, CL.0, 0.CL, obfuscated names and values, line
 * ends, targets). Each is refused, in words that name the fault. What looks odd and is not
 * ambiguous stands in the tables too, with 0: refusing more than is needed is a fault as well.
 * Chunks have their own list in test_body.c. */
#include "heads.h"

#define H    "Host: h\r\n"
#define GET  "GET http://h/ HTTP/1.1\r\n" H
#define POST "POST http://h/ HTTP/1.1\r\n" H
#define CL   "Content-Length: 5\r\n"
#define TE   "Transfer-Encoding: chunked\r\n"

/* ---- requests: how long is the body? ---- */

/* Whoever reads the words must not be sent to a line that is in order, or to the next request. */
static void the_words_are_about_the_line_at_fault(void **state)
{
    static const struct head_case cases[] = {
        HEAD(POST "Content-Length: 5, 5\r\nA : b\r\n\r\n", 400, "Content-Length"),
        HEAD(POST "Content-Length: +5\r\n\r\nhello" GET "\r\n", 400, "Content-Length"),
        HEAD(POST "A: \0\r\nB : c\r\n\r\n", 400, "control"),
    };

    (void)state;
    CHECK_REQUESTS(cases);
}

static void content_length_beside_transfer_encoding(void **state)
{
    static const struct head_case cases[] = {
        HEAD(POST CL TE "\r\n", 400, "together"), /* CL.TE */
        HEAD(POST TE CL "\r\n", 400, "together"), /* TE.CL */
        HEAD(POST "Content-Length: 0\r\n" TE "\r\n", 400, "together"),
        HEAD(POST "content-length: 5\r\ntransfer-encoding: CHUNKED\r\n\r\n", 400, "together"),
        HEAD(POST CL "X: y\r\n" TE "X: y\r\n\r\n", 400, "together"),
        HEAD(POST CL "Transfer-Encoding: identity\r\n\r\n", 400, "Content-Length"),
        HEAD(POST CL "Transfer-Encoding:\r\n\r\n", 400, NULL),
        HEAD(POST CL "Transfer-Encoding: x\r\n\r\n", 400, "Content-Length"),
        HEAD("POST http://h/ HTTP/1.0\r\n" CL TE "\r\n", 400, "together"),
    };

    (void)state;
    CHECK_REQUESTS(cases);
}

static void transfer_codings_that_are_not_exactly_chunked(void **state)
{
    static const struct head_case cases[] = {
        HEAD(POST TE TE "\r\n", 400, NULL),
        HEAD(POST TE "Transfer-Encoding: x\r\n\r\n", 400, NULL),
        HEAD(POST "Transfer-Encoding: x\r\n" TE "\r\n", 501, "coding"),
        HEAD(POST "Transfer-Encoding: chunked, chunked\r\n\r\n", 400, NULL),
        HEAD(POST "Transfer-Encoding: chunked, identity\r\n\r\n", 400, "last"),
        HEAD(POST "Transfer-Encoding: identity, chunked\r\n\r\n", 501, "coding"),
        HEAD(POST "Transfer-Encoding: identity\r\n\r\n", 501, "coding"),
        HEAD(POST "Transfer-Encoding: gzip, chunked\r\n\r\n", 501, "coding"),
        HEAD(POST "Transfer-Encoding: chunked, gzip\r\n\r\n", 400, "last"),
        HEAD(POST "Transfer-Encoding: xchunked\r\n\r\n", 501, "coding"),
        HEAD(POST "Transfer-Encoding: chunkedx\r\n\r\n", 501, "coding"),
        HEAD(POST "Transfer-Encoding: chunk\r\n\r\n", 501, "coding"),
        HEAD(POST "Transfer-Encoding: 'chunked'\r\n\r\n", 501, "coding"),
        HEAD(POST "Transfer-Encoding: \"chunked\"\r\n\r\n", 400, "list"),
        HEAD(POST "Transfer-Encoding: chunked;x=y\r\n\r\n", 400, "list"),
        HEAD(POST "Transfer-Encoding: chunked;\r\n\r\n", 400, "list"),
        HEAD(POST "Transfer-Encoding: chunked x\r\n\r\n", 400, "list"),
        HEAD(POST "Transfer-Encoding: x chunked\r\n\r\n", 400, "list"),
        HEAD(POST "Transfer-Encoding: chunked,\r\n\r\n", 400, NULL),
        HEAD(POST "Transfer-Encoding: chunked , \r\n\r\n", 400, NULL),
        HEAD(POST "Transfer-Encoding: ,chunked\r\n\r\n", 400, "odd"),
        HEAD(POST "Transfer-Encoding: , ,\r\n\r\n", 400, "odd"),
        HEAD(POST "Transfer-Encoding: \r\n\r\n", 400, "odd"),
        HEAD(POST "Transfer-Encoding: :chunked\r\n\r\n", 400, "list"),
        HEAD(POST "Transfer-Encoding: \vchunked\r\n\r\n", 400, "control"),
        HEAD(POST "Transfer-Encoding: chunked\f\r\n\r\n", 400, "control"),
        HEAD(POST "Transfer-Encoding: chunked\0\r\n\r\n", 400, "control"),
        HEAD(POST "Transfer-Encoding: \240chunked\r\n\r\n", 400, "list"),
        HEAD(POST "Transfer-Encoding: chun\305\277ed\r\n\r\n", 400, "list"),
        HEAD(POST "Transfer-Encoding: chunked\r\r\n\r\n", 400, NULL),
        HEAD(POST "Transfer-Encoding:\r\n chunked\r\n\r\n", 400, "folded"),
        HEAD(POST "Transfer-Encoding: x\r\n\tchunked\r\n\r\n", 400, NULL),
        HEAD("POST http://h/ HTTP/1.0\r\n" TE "\r\n", 400, "1.0"),
        HEAD(POST "Transfer-Encoding:chunked\r\n\r\n", 0, NULL),
        HEAD(POST "Transfer-Encoding: \t chunked \t\r\n\r\n", 0, NULL),
        HEAD(POST "tRANSFER-eNCODING: cHUNKED\r\n\r\n", 0, NULL),
    };

    (void)state;
    CHECK_REQUESTS(cases);
}

static void names_that_only_look_like_those_of_framing(void **state)
{
    static const struct head_case cases[] = {
        HEAD(POST "Transfer-Encoding : chunked\r\n\r\n", 400, "space before the colon"),
        HEAD(POST "Transfer-Encoding\t: chunked\r\n\r\n", 400, "space before the colon"),
        HEAD(POST "Content-Length : 5\r\n\r\n", 400, "space before the colon"),
        HEAD(POST " Transfer-Encoding: chunked\r\n\r\n", 400, "folded"),
        HEAD(POST "\tContent-Length: 5\r\n\r\n", 400, "folded"),
        HEAD("POST http://h/ HTTP/1.1\r\n Content-Length: 5\r\n" H "\r\n", 400, "folded"),
        HEAD(POST "Transfer-Encoding\r\n: chunked\r\n\r\n", 400, NULL),
        HEAD(POST "Transfer Encoding: chunked\r\n\r\n", 400, "space"),
        HEAD(POST "Transfer\\Encoding: chunked\r\n\r\n", 400, "token"),
        HEAD(POST "Transfer-Encoding\377: chunked\r\n\r\n", 400, "token"),
        HEAD(POST "Transfer-Encoding\0: chunked\r\n\r\n", 400, "token"),
        HEAD(POST "Transfer\rEncoding: chunked\r\n\r\n", 400, NULL),
        HEAD(POST "\302\255Transfer-Encoding: chunked\r\n\r\n", 400, "token"),
        HEAD(POST "Transfer_Encoding: chunked\r\n\r\n", 400, "underscore"),
        HEAD(POST "transfer_ENCODING: chunked\r\n\r\n", 400, "underscore"),
        HEAD(POST "Content_Length: 5\r\n\r\n", 400, "underscore"),
        HEAD(POST "X: y\nTransfer-Encoding: chunked\r\n\r\n", 400, "bare LF"),
        HEAD(POST "X: y\rTransfer-Encoding: chunked\r\n\r\n", 400, "bare CR"),
        HEAD(POST "X: \rTransfer-Encoding: chunked\r\n\r\n", 400, NULL),
        HEAD(POST "X: y\r\n\rTransfer-Encoding: chunked\r\n\r\n", 400, NULL),
        HEAD(POST "X-Transfer-Encoding: chunked\r\n\r\n", 0, NULL),
        HEAD(POST "Content-Length-: 5\r\n\r\n", 0, NULL),
        HEAD(POST "X_Content_Length: 5\r\n\r\n", 0, NULL),
    };

    (void)state;
    CHECK_REQUESTS(cases);
}

static void lengths_that_are_not_one_decimal_number(void **state)
{
    static const struct head_case cases[] = {
        HEAD(POST CL CL "\r\n", 400, NULL),
        HEAD(POST CL "Content-Length: 6\r\n\r\n", 400, NULL),
        HEAD(POST CL "Content-Length: 05\r\n\r\n", 400, NULL),
        HEAD(POST CL "Content-Length:\r\n\r\n", 400, NULL),
        HEAD(POST "Content-Length: 5, 5\r\n\r\n", 400, NULL),
        HEAD(POST "Content-Length: 5,5\r\n\r\n", 400, NULL),
        HEAD(POST "Content-Length: 5,\r\n\r\n", 400, NULL),
        HEAD(POST "Content-Length: ,5\r\n\r\n", 400, NULL),
        HEAD(POST "Content-Length: +5\r\n\r\n", 400, NULL),
        HEAD(POST "Content-Length: -5\r\n\r\n", 400, NULL),
        HEAD(POST "Content-Length: -0\r\n\r\n", 400, NULL),
        HEAD(POST "Content-Length: 0x5\r\n\r\n", 400, NULL),
        HEAD(POST "Content-Length: 5h\r\n\r\n", 400, NULL),
        HEAD(POST "Content-Length: 5.0\r\n\r\n", 400, NULL),
        HEAD(POST "Content-Length: 5e0\r\n\r\n", 400, NULL),
        HEAD(POST "Content-Length: 1_0\r\n\r\n", 400, NULL),
        HEAD(POST "Content-Length: \"5\"\r\n\r\n", 400, NULL),
        HEAD(POST "Content-Length: 5;\r\n\r\n", 400, NULL),
        HEAD(POST "Content-Length: 5; x\r\n\r\n", 400, NULL),
        HEAD(POST "Content-Length: 5 5\r\n\r\n", 400, NULL),
        HEAD(POST "Content-Length: 5\v\r\n\r\n", 400, NULL),
        HEAD(POST "Content-Length: \v5\r\n\r\n", 400, NULL),
        HEAD(POST "Content-Length: 5\0\r\n\r\n", 400, NULL),
        HEAD(POST "Content-Length: \240"
                  "5\r\n\r\n",
             400, NULL),
        HEAD(POST "Content-Length: \357\274\225\r\n\r\n", 400, NULL), /* a full-width 5 */
        HEAD(POST "Content-Length: 5\r\n 0\r\n\r\n", 400, NULL),
        HEAD(POST "Content-Length:\r\n 5\r\n\r\n", 400, NULL),
        HEAD(POST "Content-Length: five\r\n\r\n", 400, NULL),
        HEAD(POST "Content-Length: nan\r\n\r\n", 400, NULL),
        HEAD(POST "Content-Length: 9223372036854775808\r\n\r\n", 400, "larger"),
        HEAD(POST "Content-Length: 18446744073709551615\r\n\r\n", 400, NULL),
        HEAD(POST "Content-Length: 18446744073709551621\r\n\r\n", 400, NULL), /* 2^64 + 5 */
        HEAD(POST "Content-Length: 340282366920938463463374607431768211461\r\n\r\n", 400, NULL),
        HEAD(POST "Content-Length: 0000000000000000000000005\r\n\r\n", 0, NULL),
        HEAD(POST "Content-Length: \t5 \r\n\r\n", 0, NULL),
        HEAD(GET CL "\r\n", 0, NULL), /* CL.0: a GET with a body has one for everybody behind us */
        HEAD("DELETE http://h/ HTTP/1.1\r\n" H TE "\r\n", 0, NULL),
        HEAD("HEAD http://h/ HTTP/1.1\r\n" H CL "\r\n", 0, NULL),
    };

    (void)state;
    CHECK_REQUESTS(cases);
}

static void bodies_where_there_is_none_and_expectations_of_nothing(void **state)
{
    static const struct head_case cases[] = {
        HEAD("CONNECT h:443 HTTP/1.1\r\n" H CL "\r\n", 400, "body"),
        HEAD("CONNECT h:443 HTTP/1.1\r\n" H TE "\r\n", 400, "body"),
        HEAD("TRACE http://h/ HTTP/1.1\r\n" H CL "\r\n", 400, "body"),
        HEAD("TRACE http://h/ HTTP/1.1\r\n" H TE "\r\n", 400, "body"),
        HEAD(POST CL "Expect: x\r\n\r\n", 400, "Expect"),
        HEAD(POST CL "Expect:\r\n\r\n", 400, "Expect"),
        HEAD(POST CL "Expect: y 100-continue\r\n\r\n", 400, "Expect"), /* 0.CL */
        HEAD(POST CL "Expect: 100-continue, x\r\n\r\n", 400, "Expect"),
        HEAD(POST CL "Expect: 100-continue, 100-continue\r\n\r\n", 400, "Expect"),
        HEAD(POST CL "Expect: \"100-continue\"\r\n\r\n", 400, "Expect"),
        HEAD(POST CL "Expect: 100-continue;q=1\r\n\r\n", 400, "Expect"),
        HEAD(POST CL "Expect: 100 continue\r\n\r\n", 400, "Expect"),
        HEAD(POST CL "Expect: 100-continue\r\nExpect: 100-continue\r\n\r\n", 400, "repeated"),
        HEAD(POST CL "Expect: 100-continue\r\nExpect: x\r\n\r\n", 400, "repeated"),
        HEAD(POST CL "Expect:\r\n 100-continue\r\n\r\n", 400, "folded"),
        HEAD(POST CL "Expect: 100-Continue\r\n\r\n", 0, NULL),
        HEAD(GET "Expect: 100-continue\r\n\r\n", 0, NULL),
        HEAD("POST http://h/ HTTP/1.0\r\n" CL "Expect: x\r\n\r\n", 0, NULL),
        HEAD(POST CL "Connection: upgrade\r\nUpgrade: tcp\r\n\r\n", 0, NULL),
    };

    (void)state;
    CHECK_REQUESTS(cases);
}

/* ---- requests: where do lines end, and what is a field? ---- */

static void line_ends_and_bytes_that_some_take_for_one(void **state)
{
    static const struct head_case cases[] = {
        HEAD("GET http://h/ HTTP/1.1\n" H "\r\n", 400, "bare LF"),
        HEAD("GET http://h/ HTTP/1.1\r" H "\r\n", 400, "version"),
        HEAD("GET http://h/ HTTP/1.1\r\r\n" H "\r\n", 400, "version"),
        HEAD("GET http://h/ HTTP/1.1\r\nHost: h\n\r\n", 400, "bare LF"),
        HEAD("GET http://h/ HTTP/1.1\r\nHost: h\r\n\n", 400, "bare LF"),
        HEAD("GET http://h/\nHost: h\r\n\r\n", 400, NULL),
        HEAD(GET "\n\r\n", 400, "bare LF"),
        HEAD(GET "A: b\n\n", 400, "bare LF"),
        HEAD(GET "A: b\n\r\n", 400, "bare LF"),
        HEAD(GET "A: b\r\n\rX", 400, NULL),
        HEAD(GET "A: b\r\n\r\r\n", 400, NULL),
        HEAD(GET "A: b\r\n \r\n\r\n", 400, "folded"),
        HEAD(GET "A: b\r\n\r \n", 400, NULL),
        HEAD(GET "A: b\rc\r\n\r\n", 400, "bare CR"),
        HEAD(GET "A:\rb\r\n\r\n", 400, NULL),
        HEAD(GET "A\r: b\r\n\r\n", 400, NULL),
        HEAD(GET "\rA: b\r\n\r\n", 400, NULL),
        HEAD(GET "A: b\0c\r\n\r\n", 400, "control"),
        HEAD(GET "A: b\vc\r\n\r\n", 400, "control"),
        HEAD(GET "A: b\fc\r\n\r\n", 400, "control"),
        HEAD(GET "A: b\033[0m\r\n\r\n", 400, "control"),
        HEAD(GET "A: b\177\r\n\r\n", 400, "control"),
        HEAD("\nGET http://h/ HTTP/1.1\r\n" H "\r\n", 400, "bare LF"),
        HEAD("\r\n\nGET http://h/ HTTP/1.1\r\n" H "\r\n", 400, "bare LF"),
        HEAD("\rGET http://h/ HTTP/1.1\r\n" H "\r\n", 400, "bare CR"),
        HEAD(" \r\nGET http://h/ HTTP/1.1\r\n" H "\r\n", 400, "method"),
        HEAD("\0\r\nGET http://h/ HTTP/1.1\r\n" H "\r\n", 400, "method"),
        HEAD("\r\n\r\nGET http://h/ HTTP/1.1\r\n" H "\r\n", 0, NULL), /* RFC 9112 2.2 */
        HEAD(GET "A: \302\205b\r\n\r\n", 0, NULL), /* NEL is obs-text, not a line end */
    };

    (void)state;
    CHECK_REQUESTS(cases);
}

static void names_that_are_no_names(void **state)
{
    static const struct head_case cases[] = {
        HEAD(GET ": b\r\n\r\n", 400, "token"),
        HEAD(GET ":\r\n\r\n", 400, "token"),
        HEAD(GET " : b\r\n\r\n", 400, NULL),
        HEAD(GET "A\r\n\r\n", 400, "token"),
        HEAD(GET "GET http://i/ HTTP/1.1\r\n\r\n", 400, "space"),
        HEAD(GET "A b: c\r\n\r\n", 400, "space"),
        HEAD(GET "A@b: c\r\n\r\n", 400, "token"),
        HEAD(GET "A[b]: c\r\n\r\n", 400, "token"),
        HEAD(GET "A=b: c\r\n\r\n", 400, "token"),
        HEAD(GET "A,B: c\r\n\r\n", 400, "token"),
        HEAD(GET "A/b: c\r\n\r\n", 400, "token"),
        HEAD(GET "A\303\266: c\r\n\r\n", 400, "token"),
        HEAD(GET "A\177: c\r\n\r\n", 400, "token"),
        HEAD(GET "A:: b\r\n\r\n", 0, NULL), /* a value that begins with a colon */
        HEAD(GET "!#$%&'*+-.^_`|~: b\r\n\r\n", 0, NULL),
    };

    (void)state;
    CHECK_REQUESTS(cases);
}

static void methods_and_versions(void **state)
{
    static const struct head_case cases[] = {
        HEAD("G\0T http://h/ HTTP/1.1\r\n" H "\r\n", 400, "method"),
        HEAD("G\vT http://h/ HTTP/1.1\r\n" H "\r\n", 400, "method"),
        HEAD("G\177T http://h/ HTTP/1.1\r\n" H "\r\n", 400, "method"),
        HEAD("G\311T http://h/ HTTP/1.1\r\n" H "\r\n", 400, "method"),
        HEAD("GET: http://h/ HTTP/1.1\r\n" H "\r\n", 400, "method"),
        HEAD("(GET) http://h/ HTTP/1.1\r\n" H "\r\n", 400, "method"),
        HEAD("GET\thttp://h/ HTTP/1.1\r\n" H "\r\n", 400, "method"),
        HEAD("GET\vhttp://h/ HTTP/1.1\r\n" H "\r\n", 400, "method"),
        HEAD(" GET http://h/ HTTP/1.1\r\n" H "\r\n", 400, "method"),
        HEAD("GET  http://h/ HTTP/1.1\r\n" H "\r\n", 400, "more than one space"),
        HEAD("GET http://h/\tHTTP/1.1\r\n" H "\r\n", 400, "HTTP/0.9"),
        HEAD("GET http://h/ HTTP/1.1 x\r\n" H "\r\n", 400, "version"),
        HEAD("GET http://h/ HTTP/1.1\t\r\n" H "\r\n", 400, "version"),
        HEAD("GET http://h/ HTTP/1.1/HTTP/1.1\r\n" H "\r\n", 400, "version"),
        HEAD("GET http://h/ a HTTP/1.1\r\n" H "\r\n", 400, "version"),
        HEAD("GET http://h/ http/1.1\r\n" H "\r\n", 400, "version"),
        HEAD("GET http://h/ HTTP/1,1\r\n" H "\r\n", 400, "version"),
        HEAD("GET http://h/ HTTP/1.\r\n" H "\r\n", 400, "version"),
        HEAD("GET http://h/ HTTP/01.1\r\n" H "\r\n", 400, "version"),
        HEAD("GET http://h/ HTTP/1.01\r\n" H "\r\n", 400, "version"),
        HEAD("GET http://h/ HTTP/ 1.1\r\n" H "\r\n", 400, "version"),
        HEAD("GET http://h/ HTTP/-1.1\r\n" H "\r\n", 400, "version"),
        HEAD("GET http://h/ HTTPS/1.1\r\n" H "\r\n", 400, "version"),
        HEAD("GET http://h/ HTTP/0.9\r\n" H "\r\n", 400, "before HTTP/1.0"),
        HEAD("GET http://h/\r\n", 400, "HTTP/0.9"),
        HEAD("GET http://h/ HTTP/2.0\r\n" H "\r\n", 505, "HTTP/2"),
        HEAD("GET http://h/ HTTP/2\r\n" H "\r\n", 505, "HTTP/2"),
        HEAD("PRI * HTTP/2.0\r\n\r\n", 505, "HTTP/2"),
        HEAD("GET http://h/ HTTP/1.2\r\n" H "\r\n", 0, NULL), /* goes on as 1.1 */
        HEAD("get http://h/ HTTP/1.1\r\n" H "\r\n", 0, NULL), /* a method of that name */
    };

    (void)state;
    CHECK_REQUESTS(cases);
}

/* ---- requests: to whom? ---- */

static void hosts_that_two_readers_could_take_for_different_ones(void **state)
{
    static const struct head_case cases[] = {
        HEAD("GET http://h/ HTTP/1.1\r\n\r\n", 400, "no Host"),
        HEAD("CONNECT h:443 HTTP/1.1\r\n\r\n", 400, "no Host"),
        HEAD(GET H "\r\n", 400, "Host is repeated"),
        HEAD(GET "host: i\r\n\r\n", 400, "Host is repeated"),
        HEAD("GET http://h/ HTTP/1.0\r\n" H "Host: i\r\n\r\n", 400, "Host is repeated"),
        HEAD("GET http://h/ HTTP/1.1\r\nHost: h, i\r\n\r\n", 400, "Host"),
        HEAD("GET http://h/ HTTP/1.1\r\nHost: h i\r\n\r\n", 400, "Host"),
        HEAD("GET http://h/ HTTP/1.1\r\nHost:\r\n\r\n", 400, "Host"),
        HEAD("GET http://h/ HTTP/1.1\r\nHost: h:0\r\n\r\n", 400, "Host"),
        HEAD("GET http://h/ HTTP/1.1\r\nHost: h:80:80\r\n\r\n", 400, "Host"),
        HEAD("GET http://h/ HTTP/1.1\r\nHost: h:99999\r\n\r\n", 400, "Host"),
        HEAD("GET http://h/ HTTP/1.1\r\nHost: u@h\r\n\r\n", 400, "Host"),
        HEAD("GET http://h/ HTTP/1.1\r\nHost: http://h\r\n\r\n", 400, "Host"),
        HEAD("GET http://h/ HTTP/1.1\r\nHost: h/p\r\n\r\n", 400, "Host"),
        HEAD("GET http://h/ HTTP/1.1\r\nHost: h?q\r\n\r\n", 400, "Host"),
        HEAD("GET http://h/ HTTP/1.1\r\nHost: h#f\r\n\r\n", 400, "Host"),
        HEAD("GET http://h/ HTTP/1.1\r\nHost: h\\i\r\n\r\n", 400, "Host"),
        HEAD("GET http://h/ HTTP/1.1\r\nHost: h%00\r\n\r\n", 400, "Host"),
        HEAD("GET http://h/ HTTP/1.1\r\nHost: 0x7f.1\r\n\r\n", 400, "Host"),
        HEAD("GET http://h/ HTTP/1.1\r\nHost: \303\266\r\n\r\n", 400, "Host"),
        HEAD("GET http://h/ HTTP/1.1\r\nHost : h\r\n\r\n", 400, "space before the colon"),
        HEAD("GET http://h/ HTTP/1.1\r\n Host: h\r\n\r\n", 400, "folded"),
        HEAD("GET http://h/ HTTP/1.1\r\nHost:\r\n h\r\n\r\n", 400, "folded"),
        HEAD("GET http://h/ HTTP/1.1\r\nX: y\r\n\tHost: i\r\n" H "\r\n", 400, "folded"),
        /* RFC 9112 3.2.2: the target decides, and what goes on says so (test_write.c) */
        HEAD("GET http://h/ HTTP/1.1\r\nHost: i\r\n\r\n", 0, NULL),
        HEAD("GET http://h/ HTTP/1.0\r\n\r\n", 0, NULL),
    };

    (void)state;
    CHECK_REQUESTS(cases);
}

static void targets_that_two_readers_could_take_for_different_ones(void **state)
{
    static const struct head_case cases[] = {
        HEAD("GET http://u@h/ HTTP/1.1\r\n" H "\r\n", 400, "userinfo"),
        HEAD("GET http://u:p@h/ HTTP/1.1\r\n" H "\r\n", 400, "userinfo"),
        HEAD("GET http://h@i:80/ HTTP/1.1\r\n" H "\r\n", 400, "userinfo"),
        HEAD("GET http://h\\@i/ HTTP/1.1\r\n" H "\r\n", 400, "userinfo"),
        HEAD("GET http://h\\i/ HTTP/1.1\r\n" H "\r\n", 400, "character"),
        HEAD("GET http:\\\\h/ HTTP/1.1\r\n" H "\r\n", 400, "scheme"),
        HEAD("GET http:/\\h/ HTTP/1.1\r\n" H "\r\n", 400, "scheme"),
        HEAD("GET http:///h/ HTTP/1.1\r\n" H "\r\n", 400, "host"),
        HEAD("GET http:h HTTP/1.1\r\n" H "\r\n", 400, "scheme"),
        HEAD("GET http://h#f HTTP/1.1\r\n" H "\r\n", 400, "fragment"),
        HEAD("GET http://h/#f HTTP/1.1\r\n" H "\r\n", 400, "fragment"),
        HEAD("GET http://h/?q#f HTTP/1.1\r\n" H "\r\n", 400, "fragment"),
        HEAD("GET http://h#@i/ HTTP/1.1\r\n" H "\r\n", 400, "fragment"),
        HEAD("GET http://h:0/ HTTP/1.1\r\n" H "\r\n", 400, "port"),
        HEAD("GET http://h:99999/ HTTP/1.1\r\n" H "\r\n", 400, "port"),
        HEAD("GET http://h:+80/ HTTP/1.1\r\n" H "\r\n", 400, "port"),
        HEAD("GET http://h:80x/ HTTP/1.1\r\n" H "\r\n", 400, "port"),
        HEAD("GET http://h%0d%0a/ HTTP/1.1\r\n" H "\r\n", 400, "character"),
        HEAD("GET http://h%2f/ HTTP/1.1\r\n" H "\r\n", 400, "character"),
        HEAD("GET http://h%2523/ HTTP/1.1\r\n" H "\r\n", 400, "character"),
        HEAD("GET http://h/\0 HTTP/1.1\r\n" H "\r\n", 400, "percent-encoded"),
        HEAD("GET http://h/\r HTTP/1.1\r\n" H "\r\n", 400, "percent-encoded"),
        HEAD("GET http://h/\v HTTP/1.1\r\n" H "\r\n", 400, "percent-encoded"),
        HEAD("GET http://h/\177 HTTP/1.1\r\n" H "\r\n", 400, "percent-encoded"),
        HEAD("GET http://h/\240 HTTP/1.1\r\n" H "\r\n", 400, "percent-encoded"),
        HEAD("GET https://h/ HTTP/1.1\r\n" H "\r\n", 400, "CONNECT"),
        HEAD("GET ftp://h/ HTTP/1.1\r\n" H "\r\n", 400, "scheme"),
        HEAD("GET ws://h/ HTTP/1.1\r\n" H "\r\n", 400, "scheme"),
        HEAD("GET file:///etc/passwd HTTP/1.1\r\n" H "\r\n", 400, "scheme"),
        HEAD("GET javascript:1 HTTP/1.1\r\n" H "\r\n", 400, "scheme"),
        HEAD("GET h:80 HTTP/1.1\r\n" H "\r\n", 400, "scheme"),
        HEAD("GET h HTTP/1.1\r\n" H "\r\n", 400, "not a URL"),
        HEAD("GET ?q HTTP/1.1\r\n" H "\r\n", 400, "not a URL"),
        HEAD("GET * HTTP/1.1\r\n" H "\r\n", 400, "OPTIONS"),
        HEAD("GET http://h/%0d%0a%20 HTTP/1.1\r\n" H "\r\n", 0, NULL), /* stays as it is */
        HEAD("GET http://h/a@b:c\\d HTTP/1.1\r\n" H "\r\n", 0, NULL),
        HEAD("GET http://h/../..//%2e%2e/ HTTP/1.1\r\n" H "\r\n", 0, NULL),
        HEAD("GET http://h/http://i/ HTTP/1.1\r\n" H "\r\n", 0, NULL),
    };

    (void)state;
    CHECK_REQUESTS(cases);
}

static void connect_to_anything_but_host_and_port(void **state)
{
    static const struct head_case cases[] = {
        HEAD("CONNECT h HTTP/1.1\r\n" H "\r\n", 400, "without a port"),
        HEAD("CONNECT h: HTTP/1.1\r\n" H "\r\n", 400, "port"),
        HEAD("CONNECT h:0 HTTP/1.1\r\n" H "\r\n", 400, "port"),
        HEAD("CONNECT h:00 HTTP/1.1\r\n" H "\r\n", 400, "port"),
        HEAD("CONNECT h:65536 HTTP/1.1\r\n" H "\r\n", 400, "port"),
        HEAD("CONNECT h:99999 HTTP/1.1\r\n" H "\r\n", 400, "port"),
        HEAD("CONNECT h:4294967739 HTTP/1.1\r\n" H "\r\n", 400, "port"), /* 2^32 + 443 */
        HEAD("CONNECT h:-443 HTTP/1.1\r\n" H "\r\n", 400, "port"),
        HEAD("CONNECT h:+443 HTTP/1.1\r\n" H "\r\n", 400, "port"),
        HEAD("CONNECT h:0x1bb HTTP/1.1\r\n" H "\r\n", 400, "port"),
        HEAD("CONNECT h:443:443 HTTP/1.1\r\n" H "\r\n", 400, "port"),
        HEAD("CONNECT h:https HTTP/1.1\r\n" H "\r\n", 400, "port"),
        HEAD("CONNECT :443 HTTP/1.1\r\n" H "\r\n", 400, "empty host"),
        HEAD("CONNECT [::1] HTTP/1.1\r\n" H "\r\n", 400, "without a port"),
        HEAD("CONNECT ::1:443 HTTP/1.1\r\n" H "\r\n", 400, "port"),
        HEAD("CONNECT h:443/ HTTP/1.1\r\n" H "\r\n", 400, "path"),
        HEAD("CONNECT h:443/p HTTP/1.1\r\n" H "\r\n", 400, "path"),
        HEAD("CONNECT h:443?q HTTP/1.1\r\n" H "\r\n", 400, "path"),
        HEAD("CONNECT h:443#f HTTP/1.1\r\n" H "\r\n", 400, "fragment"),
        HEAD("CONNECT u@h:443 HTTP/1.1\r\n" H "\r\n", 400, "userinfo"),
        HEAD("CONNECT http://h:443 HTTP/1.1\r\n" H "\r\n", 400, "path"),
        HEAD("CONNECT / HTTP/1.1\r\n" H "\r\n", 400, "path"),
        HEAD("CONNECT * HTTP/1.1\r\n" H "\r\n", 400, "without a port"),
        HEAD("CONNECT h%3a443:80 HTTP/1.1\r\n" H "\r\n", 400, "character"),
        HEAD("CONNECT h,i:443 HTTP/1.1\r\n" H "\r\n", 400, "character"),
        HEAD("CONNECT 127.1:443 HTTP/1.1\r\n" H "\r\n", 400, "IPv4"),
        HEAD("connect h:443 HTTP/1.1\r\n" H "\r\n", 400, "scheme"), /* methods have case */
        HEAD("CONNECT h:443 HTTP/1.1\r\n" H "\r\n", 0, NULL),
    };

    (void)state;
    CHECK_REQUESTS(cases);
}

/* ---- requests: what belongs to this hop? ---- */

static void connection_options_that_would_change_the_message(void **state)
{
    static const char *const names[] = {
        "host",
        "content-length",
        "transfer-encoding",
        "authorization",
        "cookie",
        "proxy-authorization",
        "content-type",
        "content-encoding",
        "content-range",
        "connection",
        "expect",
        "max-forwards",
        "via",
        "forwarded",
        "x-forwarded-for",
        "x-forwarded-host",
        "x-real-ip",
        "x-forwarded-proto",
        "cache-control",
        "range",
    };
    char head[256];
    const char *why;

    (void)state;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        (void)snprintf(head, sizeof head, GET "Connection: %s\r\n\r\n", names[i]);
        if (request_fault(sp_span_cstr(head), &why) != 400 || strstr(why, "not hop-by-hop") == NULL)
            fail_msg("Connection may name %s", names[i]);
        (void)snprintf(head, sizeof head, GET "Connection: close, x\r\nconnection: Y,\t%s\r\n\r\n",
                       names[i]);
        assert_int_equal(request_fault(sp_span_cstr(head), NULL), 400);
    }
}

static void connection_fields_that_are_no_lists(void **state)
{
    static const struct head_case cases[] = {
        HEAD(GET "Connection: \"close\"\r\n\r\n", 400, "tokens"),
        HEAD(GET "Connection: close;x\r\n\r\n", 400, "tokens"),
        HEAD(GET "Connection: close keep-alive\r\n\r\n", 400, "tokens"),
        HEAD(GET "Connection: cl\303\266se\r\n\r\n", 400, "tokens"),
        HEAD(GET "Connection: \"a, host\r\n\r\n", 400, "tokens"),
        HEAD(GET "Connection: , ,close,\r\n\r\n", 0, NULL),  /* RFC 9110 5.6.1.2 */
        HEAD(GET "Proxy-Connection: host\r\n\r\n", 0, NULL), /* a hint, names nothing */
        HEAD(GET "Keep-Alive: timeout=5\r\nTE: trailers\r\nConnection: te\r\n\r\n", 0, NULL),
    };

    (void)state;
    CHECK_REQUESTS(cases);
}

static void fields_that_count_and_stand_once(void **state)
{
    static const struct head_case cases[] = {
        HEAD(GET "Proxy-Authorization: a\r\nProxy-Authorization: b\r\n\r\n", 400, "repeated"),
        HEAD(GET "Proxy-Authorization: a\r\nproxy-authorization: a\r\n\r\n", 400, "repeated"),
        HEAD("TRACE http://h/ HTTP/1.1\r\n" H "Max-Forwards: 1\r\nMax-Forwards: 0\r\n\r\n", 400,
             "repeated"),
        HEAD("OPTIONS http://h/ HTTP/1.1\r\n" H "Max-Forwards: -1\r\n\r\n", 400, "number"),
        HEAD("OPTIONS http://h/ HTTP/1.1\r\n" H "Max-Forwards: 1, 1\r\n\r\n", 400, "number"),
        HEAD("OPTIONS http://h/ HTTP/1.1\r\n" H "Max-Forwards:\r\n\r\n", 400, "number"),
        HEAD("TRACE http://h/ HTTP/1.1\r\n" H "Max-Forwards: 18446744073709551616\r\n\r\n", 400,
             "number"),
        HEAD("TRACE http://h/ HTTP/1.1\r\n" H "Max-Forwards: 1\r\n\r\n", 0, NULL),
        HEAD(GET "Max-Forwards: x\r\nMax-Forwards: y\r\n\r\n", 0, NULL), /* means nothing here */
    };

    (void)state;
    CHECK_REQUESTS(cases);
}

/* ---- answers ---- */

struct answer_case {
    enum sp_http_method method;
    struct sp_span bytes;
    const char *why; /* words of the fault; NULL: it is accepted */
    enum sp_http_framing_kind kind;
    bool keep_alive;
};

#define BAD(text, why)                                           \
    {                                                            \
        SP_HTTP_GET, SP_SPAN_LIT(text), why, SP_BODY_NONE, false \
    }
#define GOOD(method, text, kind, keep_alive)              \
    {                                                     \
        method, SP_SPAN_LIT(text), NULL, kind, keep_alive \
    }
#define OK "HTTP/1.1 200 OK\r\n"

static void check_answer(const struct answer_case *row)
{
    struct sp_http_parser *parser = new_parser();
    struct sp_http_response response;
    struct sp_http_fault fault = {0, NULL};
    enum sp_err err = SP_ERR_AGAIN;

    for (size_t len = 0; len <= row->bytes.len && err == SP_ERR_AGAIN; len++) {
        struct sp_span some = exactly(sp_span_of(row->bytes.base, len));

        err = sp_http_parse_response(parser, some, row->method, &response, &fault);
        release(some);
    }
    sp_http_parser_free(&parser);
    if (row->why == NULL && (err != SP_OK || response.head.body.kind != row->kind ||
                             response.head.keep_alive != row->keep_alive))
        fail_msg("%s, kind %d, keep_alive %d:\n%.*s", fault.why != NULL ? fault.why : "accepted",
                 (int)response.head.body.kind, response.head.keep_alive, SP_SPAN_ARG(row->bytes));
    if (row->why != NULL && (err != SP_ERR_INVALID || strstr(fault.why, row->why) == NULL))
        fail_msg("\"%s\", not \"%s\":\n%.*s", fault.why != NULL ? fault.why : "accepted", row->why,
                 SP_SPAN_ARG(row->bytes));
}

#define CHECK_ANSWERS(rows)                                    \
    for (size_t i = 0; i < sizeof(rows) / sizeof *(rows); i++) \
    check_answer(&(rows)[i])

static void status_lines_that_are_none(void **state)
{
    static const struct answer_case rows[] = {
        BAD("HTTP/1.1  200 OK\r\n\r\n", "status"),
        BAD("HTTP/1.1\t200 OK\r\n\r\n", "status"),
        BAD("HTTP/1.1 200\tOK\r\n\r\n", "status"),
        BAD("HTTP/1.1 20 OK\r\n\r\n", "status"),
        BAD("HTTP/1.1 2000 OK\r\n\r\n", "status"),
        BAD("HTTP/1.1 +20 OK\r\n\r\n", "status"),
        BAD("HTTP/1.1 0x2 OK\r\n\r\n", "status"),
        BAD("HTTP/1.1 2 0 OK\r\n\r\n", "status"),
        BAD("HTTP/1.1 OK\r\n\r\n", "status"),
        BAD("HTTP/1.1 \r\n\r\n", "status"),
        BAD("HTTP/1.1\r\n\r\n", "status"),
        BAD("HTTP/1.1 000 OK\r\n\r\n", "100 to 599"),
        BAD("HTTP/1.1 099 OK\r\n\r\n", "100 to 599"),
        BAD("HTTP/1.1 600 OK\r\n\r\n", "100 to 599"),
        BAD("HTTP/1.1 999 OK\r\n\r\n", "100 to 599"),
        BAD("HTTP/1.1 200 O\0K\r\n\r\n", "control"),
        BAD("HTTP/1.1 200 O\033K\r\n\r\n", "control"),
        BAD("HTTP/1.1 200 O\rK\r\n\r\n", "control"),
        BAD("HTTP/1.1 200 OK\n\r\n", "bare LF"),
        BAD("HTTP/1.1 200 OK\r\r\n\r\n", "control"),
        BAD("HTTP/1.0200 OK\r\n\r\n", "status"),
        BAD("HTTP/2 200\r\n\r\n", "HTTP/1"),
        BAD("HTTP/2.0 200 OK\r\n\r\n", "HTTP/1"),
        BAD("HTTP/0.9 200 OK\r\n\r\n", "HTTP/1"),
        BAD("http/1.1 200 OK\r\n\r\n", "HTTP/1"),
        BAD("HTTP/1.10 200 OK\r\n\r\n", "status"),
        BAD(" HTTP/1.1 200 OK\r\n\r\n", "HTTP/1"),
        BAD("\r\nHTTP/1.1 200 OK\r\n\r\n", "empty line"),
        BAD("ICY 200 OK\r\n\r\n", "HTTP/1"),
        BAD("<html>", "HTTP/1"),
        GOOD(SP_HTTP_GET, "HTTP/1.1 200\r\n\r\n", SP_BODY_UNTIL_CLOSE, false),
        GOOD(SP_HTTP_GET, "HTTP/1.1 200 \r\n\r\n", SP_BODY_UNTIL_CLOSE, false),
        GOOD(SP_HTTP_GET, "HTTP/1.1 299 \303\266  k\r\nContent-Length: 0\r\n\r\n", SP_BODY_LENGTH,
             true),
    };

    (void)state;
    CHECK_ANSWERS(rows);
}

static void answers_whose_body_has_two_lengths(void **state)
{
    static const struct answer_case rows[] = {
        BAD(OK CL TE "\r\n", "together"),
        BAD(OK TE CL "\r\n", "together"),
        BAD(OK CL CL "\r\n", "Content-Length"),
        BAD(OK CL "Content-Length: 6\r\n\r\n", "Content-Length"),
        BAD(OK "Content-Length: 5, 5\r\n\r\n", "Content-Length"),
        BAD(OK "Content-Length: +5\r\n\r\n", "Content-Length"),
        BAD(OK "Content-Length: 0x5\r\n\r\n", "Content-Length"),
        BAD(OK "Content-Length: \r\n\r\n", "Content-Length"),
        BAD(OK "Content-Length: 18446744073709551621\r\n\r\n", "Content-Length"),
        BAD(OK "Content_Length: 5\r\n\r\n", "underscore"),
        BAD(OK "Transfer_Encoding: chunked\r\n\r\n", "underscore"),
        BAD(OK TE TE "\r\n", "repeated"),
        BAD(OK "Transfer-Encoding: gzip\r\n\r\n", "coding"),
        BAD(OK "Transfer-Encoding: identity\r\n\r\n", "coding"),
        BAD(OK "Transfer-Encoding: gzip, chunked\r\n\r\n", "coding"),
        BAD(OK "Transfer-Encoding: chunked, gzip\r\n\r\n", "last"),
        BAD(OK "Transfer-Encoding: chunked, chunked\r\n\r\n", "once"),
        BAD(OK "Transfer-Encoding:\r\n\r\n", "Transfer-Encoding"),
        BAD("HTTP/1.0 200 OK\r\n" TE "\r\n", "1.0"),
        GOOD(SP_HTTP_GET, OK CL "\r\n", SP_BODY_LENGTH, true),
        GOOD(SP_HTTP_GET, OK TE "\r\n", SP_BODY_CHUNKED, true),
        /* as the answers of large networks have it */
        GOOD(SP_HTTP_GET, OK TE "Connection: keep-alive, Transfer-Encoding\r\n\r\n",
             SP_BODY_CHUNKED, true),
    };

    (void)state;
    CHECK_ANSWERS(rows);
}

static void answers_with_a_body_where_none_may_be(void **state)
{
    static const struct answer_case rows[] = {
        BAD("HTTP/1.1 204 No\r\n" CL "\r\n", "announces a body"),
        BAD("HTTP/1.1 204 No\r\n" TE "\r\n", "announces a body"),
        BAD("HTTP/1.1 205 Reset\r\n" CL "\r\n", "announces a body"),
        BAD("HTTP/1.1 100 Go\r\n" CL "\r\n", "announces a body"),
        BAD("HTTP/1.1 103 Hints\r\n" TE "\r\n", "announces a body"),
        BAD("HTTP/1.1 101 Switch\r\n" CL "\r\n", "announces a body"),
        GOOD(SP_HTTP_GET, "HTTP/1.1 204 No\r\n\r\n", SP_BODY_NONE, true),
        GOOD(SP_HTTP_GET, "HTTP/1.1 205 Reset\r\n" TE "\r\n", SP_BODY_CHUNKED, true),
        GOOD(SP_HTTP_GET, "HTTP/1.1 304 Not Modified\r\n" CL "\r\n", SP_BODY_NONE, true),
        GOOD(SP_HTTP_GET, "HTTP/1.1 304 Not Modified\r\n" TE "\r\n", SP_BODY_NONE, true),
        GOOD(SP_HTTP_HEAD, OK CL "\r\n", SP_BODY_NONE, true),
        GOOD(SP_HTTP_HEAD, OK TE "\r\n", SP_BODY_NONE, true),
        GOOD(SP_HTTP_HEAD, "HTTP/1.1 404 No\r\n" CL "\r\n", SP_BODY_NONE, true),
        BAD("HTTP/1.1 304 Not Modified\r\n" CL TE "\r\n", "together"),
        BAD("HTTP/1.1 304 Not Modified\r\nContent-Length: x\r\n\r\n", "Content-Length"),
    };

    (void)state;
    CHECK_ANSWERS(rows);
}

static void answers_that_end_with_the_connection_do_not_let_it_be_used_again(void **state)
{
    static const struct answer_case rows[] = {
        GOOD(SP_HTTP_GET, OK "\r\n", SP_BODY_UNTIL_CLOSE, false),
        GOOD(SP_HTTP_GET, OK "Connection: keep-alive\r\n\r\n", SP_BODY_UNTIL_CLOSE, false),
        GOOD(SP_HTTP_GET, "HTTP/1.0 200 OK\r\n" CL "\r\n", SP_BODY_LENGTH, false),
        GOOD(SP_HTTP_GET, "HTTP/1.0 200 OK\r\n" CL "Connection: Keep-Alive\r\n\r\n", SP_BODY_LENGTH,
             true),
        GOOD(SP_HTTP_GET, "HTTP/1.0 200 OK\r\nConnection: keep-alive\r\n\r\n", SP_BODY_UNTIL_CLOSE,
             false),
        GOOD(SP_HTTP_GET, OK CL "Connection: keep-alive, close\r\n\r\n", SP_BODY_LENGTH, false),
        GOOD(SP_HTTP_HEAD, OK "Connection: close\r\n\r\n", SP_BODY_NONE, false),
    };

    (void)state;
    CHECK_ANSWERS(rows);
}

static void answers_with_field_lines_that_are_none(void **state)
{
    static const struct answer_case rows[] = {
        BAD(OK "A : b\r\n\r\n", "space before the colon"),
        BAD(OK " A: b\r\n\r\n", "folded"),
        BAD(OK "A: b\r\n c\r\n\r\n", "folded"),
        BAD(OK "A: b\nB: c\r\n\r\n", "bare LF"),
        BAD(OK "A: b\r\n\n", "bare LF"),
        BAD(OK "A: b\rc\r\n\r\n", "bare CR"),
        BAD(OK "Set-Cookie: a\rSet-Cookie: b\r\n\r\n", "bare CR"),
        BAD(OK "A: b\0\r\n\r\n", "control"),
        BAD(OK "A: b\177\r\n\r\n", "control"),
        BAD(OK "A\240: b\r\n\r\n", "token"),
        BAD(OK ": b\r\n\r\n", "token"),
        BAD(OK "A\r\n\r\n", "token"),
        BAD(OK "HTTP/1.1 200 OK\r\n\r\n", "token"),
    };

    (void)state;
    CHECK_ANSWERS(rows);
}

static void answers_whose_connection_field_would_change_them(void **state)
{
    static const struct answer_case rows[] = {
        BAD(OK CL "Connection: content-length\r\n\r\n", "not hop-by-hop"),
        BAD(OK CL "Connection: set-cookie\r\n\r\n", "not hop-by-hop"),
        BAD(OK CL "Connection: www-authenticate\r\n\r\n", "not hop-by-hop"),
        BAD(OK CL "Connection: proxy-authenticate\r\n\r\n", "not hop-by-hop"),
        BAD(OK CL "Connection: location\r\n\r\n", "not hop-by-hop"),
        BAD(OK CL "Connection: a b\r\n\r\n", "tokens"),
        /* taken out on the way (test_write.c) */
        GOOD(SP_HTTP_GET, OK CL "Proxy-Authenticate: Basic realm=\"x\"\r\n\r\n", SP_BODY_LENGTH,
             true),
    };

    (void)state;
    CHECK_ANSWERS(rows);
}

static bool offered(const char *offer, const char *chosen)
{
    return sp_http_upgrade_was_offered(sp_span_cstr(offer), sp_span_cstr(chosen));
}

static void a_switch_is_to_what_was_offered(void **state)
{
    (void)state;
    assert_true(offered("websocket", "WebSocket"));
    assert_true(offered("a/1, websocket", "websocket"));
    assert_true(offered("a/1, b/2", "b/2, a/1"));
    assert_false(offered("websocket", "h2c"));
    assert_false(offered("websocket", "websocket, h2c"));
    assert_false(offered("websocket", "web"));
    assert_false(offered("websocket", ""));
    assert_false(offered("", "websocket"));
    assert_false(sp_http_upgrade_was_offered(SP_SPAN_LIT("websocket"), SP_SPAN_NONE));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_words_are_about_the_line_at_fault),
        cmocka_unit_test(content_length_beside_transfer_encoding),
        cmocka_unit_test(transfer_codings_that_are_not_exactly_chunked),
        cmocka_unit_test(names_that_only_look_like_those_of_framing),
        cmocka_unit_test(lengths_that_are_not_one_decimal_number),
        cmocka_unit_test(bodies_where_there_is_none_and_expectations_of_nothing),
        cmocka_unit_test(line_ends_and_bytes_that_some_take_for_one),
        cmocka_unit_test(names_that_are_no_names),
        cmocka_unit_test(methods_and_versions),
        cmocka_unit_test(hosts_that_two_readers_could_take_for_different_ones),
        cmocka_unit_test(targets_that_two_readers_could_take_for_different_ones),
        cmocka_unit_test(connect_to_anything_but_host_and_port),
        cmocka_unit_test(connection_options_that_would_change_the_message),
        cmocka_unit_test(connection_fields_that_are_no_lists),
        cmocka_unit_test(fields_that_count_and_stand_once),
        cmocka_unit_test(status_lines_that_are_none),
        cmocka_unit_test(answers_whose_body_has_two_lengths),
        cmocka_unit_test(answers_with_a_body_where_none_may_be),
        cmocka_unit_test(answers_that_end_with_the_connection_do_not_let_it_be_used_again),
        cmocka_unit_test(answers_with_field_lines_that_are_none),
        cmocka_unit_test(answers_whose_connection_field_would_change_them),
        cmocka_unit_test(a_switch_is_to_what_was_offered),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
