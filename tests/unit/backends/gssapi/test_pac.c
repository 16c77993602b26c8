/* The PAC's groups: as a domain controller writes them, and written wrong in every way. */
#include "backends/gssapi/pac.h"
#include "unit/backends/gssapi/pac_sample.h"
#include "util/span.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#define DOMAIN   "S-1-5-21-397955417-626881126-188441444"
#define RESOURCE "S-1-5-21-1-2-4294967295"

/* What was told: each SID and a space. */
struct told {
    char text[64 * 1024];
    size_t used;
    size_t len;
};

static struct pac_sample sample;
static struct pac_bytes written;
static struct told told;

static void on_sid(void *owner, struct sp_span sid)
{
    struct told *to = owner;

    assert_true(sid.len < SP_GSS_SID_MAX);
    assert_int_equal(sid.base[sid.len], '\0');
    to->used += (size_t)snprintf(to->text + to->used, sizeof to->text - to->used, "%s ", sid.base);
    assert_true(to->used < sizeof to->text);
    to->len++;
}

static enum sp_err read_bytes(struct sp_span bytes)
{
    told.used = 0;
    told.len = 0;
    told.text[0] = '\0';
    return sp_gss_pac_groups(bytes, on_sid, &told);
}

static void says(const char *sids)
{
    assert_int_equal(read_bytes(pac_write(&written, &sample)), SP_OK);
    assert_string_equal(told.text, sids);
}

static int fresh_sample(void **state)
{
    (void)state;
    memset(&sample, 0, sizeof sample);
    sample.user = "alice";
    sample.domain = DOMAIN;
    return 0;
}

static void full_sample(void)
{
    sample.primary = 513;
    sample.rids[0] = 513;
    sample.rids[1] = 1105;
    sample.rids_len = 2;
    sample.extra[0] = "S-1-18-1";
    sample.extra[1] = "S-1-5-21-9-8-7-1234";
    sample.extra_len = 2;
    sample.resource_domain = RESOURCE;
    sample.resource[0] = 1600;
    sample.resource_len = 1;
}

static void groups_of_all_three_kinds_are_told(void **state)
{
    (void)state;
    full_sample();
    says(DOMAIN "-513 " DOMAIN "-1105 S-1-18-1 S-1-5-21-9-8-7-1234 " RESOURCE "-1600 ");
}

/* The alignment after a text of an odd number of letters, of none, and of no text at all. */
static void names_of_any_length_are_passed_over(void **state)
{
    const char *const names[] = {"bob", "alice.b", "", NULL, "eve1"};

    (void)state;
    full_sample();
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        sample.user = names[i];
        says(DOMAIN "-513 " DOMAIN "-1105 S-1-18-1 S-1-5-21-9-8-7-1234 " RESOURCE "-1600 ");
    }
}

static void the_primary_group_is_told_once(void **state)
{
    (void)state;
    sample.primary = 513;
    sample.rids[0] = 1105;
    sample.rids_len = 1;
    says(DOMAIN "-1105 " DOMAIN "-513 ");
}

static void a_person_without_groups_has_none(void **state)
{
    (void)state;
    says("");
    sample.domain = NULL;
    says("");
}

static void a_membership_that_is_not_enabled_is_none(void **state)
{
    (void)state;
    full_sample();
    sample.attributes = 3; /* mandatory, enabled by default, not enabled */
    says("");
}

static void sids_of_any_size_are_written_as_windows_writes_them(void **state)
{
    (void)state;
    sample.extra[0] = "S-1-0";
    sample.extra[1] = "S-1-4294967295-0";
    sample.extra[2] = "S-1-0xFFFFFFFFFFFF-4294967295-4294967295-4294967295-4294967295-4294967295-"
                      "4294967295-4294967295-4294967295-4294967295-4294967295-4294967295-"
                      "4294967295-4294967295-4294967295-4294967295";
    sample.extra_len = 3;
    assert_int_equal(read_bytes(pac_write(&written, &sample)), SP_OK);
    assert_int_equal(told.len, 3);
    assert_non_null(strstr(told.text, "S-1-0 S-1-4294967295-0 S-1-0xFFFFFFFFFFFF-4294967295-"));
}

static void a_thousand_groups_are_told(void **state)
{
    (void)state;
    for (sample.rids_len = 0; sample.rids_len < 1015; sample.rids_len++)
        sample.rids[sample.rids_len] = 2000 + (uint32_t)sample.rids_len;
    assert_int_equal(read_bytes(pac_write(&written, &sample)), SP_OK);
    assert_int_equal(told.len, 1015);
    assert_non_null(strstr(told.text, " " DOMAIN "-3014 "));
}

/* ---- wrong ---- */

/* The padding at the end may go: nobody reads it. */
static void no_cut_structure_is_read(void **state)
{
    struct sp_span whole;
    size_t needed;

    (void)state;
    full_sample();
    whole = pac_write(&written, &sample);
    for (needed = whole.len; needed > 16; needed--) {
        uint32_t body = (uint32_t)needed - 1 - 16;

        for (int i = 0; i < 4; i++)
            written.bytes[8 + i] = (uint8_t)(body >> 8 * i);
        if (read_bytes(sp_span_of(whole.base, needed - 1)) != SP_OK)
            break;
    }
    assert_true(needed + 8 > whole.len);
    for (size_t len = 0; len < needed; len++)
        assert_int_equal(read_bytes(sp_span_of(whole.base, len)), SP_ERR_INVALID);
}

/* One word of the structure changed. */
static void refused_with(size_t at, uint32_t value)
{
    (void)pac_write(&written, &sample);
    for (int i = 0; i < 4; i++)
        written.bytes[at + (size_t)i] = (uint8_t)(value >> 8 * i);
    if (read_bytes(sp_span_of((const char *)written.bytes, written.len)) != SP_ERR_INVALID)
        fail_msg("offset %zu with %#x is read as %s", at, value, told.text);
}

/* Offsets: 16 bytes of headers, 4 of the first pointer, then as in [MS-PAC] 2.5. */
static void counts_and_pointers_that_lie_are_refused(void **state)
{
    const size_t groups = 20 + 48 + 48 + 4 + 8, domain = groups + 8 + 4 + 16 + 16,
                 extra = domain + 4 + 40, resource = extra + 8;
    const size_t pointees = resource + 12;
    const uint32_t lies[] = {0, 1, 3, 0x1fffffff, 0x20000000, 0x7fffffff, 0xffffffff};

    (void)state;
    full_sample();
    sample.user = NULL;
    for (size_t i = 0; i < sizeof lies / sizeof lies[0]; i++) {
        refused_with(groups, lies[i]);
        refused_with(pointees, lies[i]);
        refused_with(extra, lies[i]);
        if (lies[i] != 1)
            refused_with(resource + 4, lies[i]);
        refused_with(pointees + 4 + 16, lies[i]); /* the conformance of the domain's SID */
    }
    refused_with(groups + 4, 0);    /* a count, and a pointer to nothing */
    refused_with(domain, 0);        /* RIDs of no domain */
    refused_with(resource, 0);      /* nor of a resource domain */
    refused_with(16, 0);            /* no structure at all */
    refused_with(0, 0x00081002);    /* another version */
    refused_with(0, 0x00080001);    /* big-endian */
    refused_with(8, 0xffffffff);    /* longer than it is */
    refused_with(pointees + 24, 2); /* a SID's revision */
}

static void a_text_longer_than_its_room_is_refused(void **state)
{
    (void)state;
    full_sample();
    refused_with(16 + 4 + 216 + 8, 6);
    refused_with(16 + 4 + 216 + 4, 1);
    refused_with(16 + 4 + 216 + 8, 0xffffffff);
}

static void a_domain_with_no_room_for_a_rid_is_refused(void **state)
{
    (void)state;
    full_sample();
    sample.domain = "S-1-5-1-2-3-4-5-6-7-8-9-10-11-12-13-14-15";
    assert_int_equal(read_bytes(pac_write(&written, &sample)), SP_ERR_INVALID);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(groups_of_all_three_kinds_are_told, fresh_sample),
        cmocka_unit_test_setup(names_of_any_length_are_passed_over, fresh_sample),
        cmocka_unit_test_setup(the_primary_group_is_told_once, fresh_sample),
        cmocka_unit_test_setup(a_person_without_groups_has_none, fresh_sample),
        cmocka_unit_test_setup(a_membership_that_is_not_enabled_is_none, fresh_sample),
        cmocka_unit_test_setup(sids_of_any_size_are_written_as_windows_writes_them, fresh_sample),
        cmocka_unit_test_setup(a_thousand_groups_are_told, fresh_sample),
        cmocka_unit_test_setup(no_cut_structure_is_read, fresh_sample),
        cmocka_unit_test_setup(counts_and_pointers_that_lie_are_refused, fresh_sample),
        cmocka_unit_test_setup(a_text_longer_than_its_room_is_refused, fresh_sample),
        cmocka_unit_test_setup(a_domain_with_no_room_for_a_rid_is_refused, fresh_sample),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
