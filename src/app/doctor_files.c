/* See doctor_files.h. The user is, in this order: `user`, which the proxy becomes; whoever it runs
 * as now; for the configuration of the installed service, the user that its unit names. */
#include "app/doctor_files.h"

#include "app/command.h"
#include "app/eyes.h"
#include "app/load.h"
#include "log/log.h"

#include <errno.h>
#include <grp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define SERVICE_USER "sallyport" /* of conf/sallyport.service */

/* NULL: not known, or root, who can open everything. */
static const struct passwd *who_serves(const struct sp_app_doctor_files *q)
{
    const char *user = sp_app_options_of(q->config)->user;
    const struct passwd *who = NULL;

    if (user[0] != '\0')
        who = getpwnam(user);
    else if (q->is_running)
        who = getpwuid(q->running_uid);
    else if (strcmp(q->path, SP_APP_CONFIG_DEFAULT) == 0)
        who = getpwnam(SERVICE_USER);
    return who != NULL && who->pw_uid != 0 && geteuid() == 0 ? who : NULL;
}

/* ---- which files ---- */

static bool is_among(const struct sp_app_view *views, size_t len, const char *path, bool write)
{
    for (size_t i = 0; i < len; i++)
        if (views[i].write == write && strcmp(views[i].path, path) == 0)
            return true;
    return false;
}

static void add(struct sp_app_view *views, size_t *len, const char *path, bool write)
{
    if (!is_among(views, *len, path, write))
        views[(*len)++] = (struct sp_app_view){.path = path, .write = write};
}

/* NULL: no memory. For free(). */
static struct sp_app_view *list(const struct sp_config *config, size_t *len_out)
{
    const struct sp_log_options *log = sp_config_one(config, "log")->options;
    const char *const logs[] = {log->access, log->error};
    struct sp_app_view *views;
    size_t room = 2;

    *len_out = 0;
    for (const struct sp_config_named *n = sp_config_named(config); n != NULL; n = n->next)
        room++;
    views = calloc(room, sizeof(*views));
    if (views == NULL)
        return NULL;
    for (const struct sp_config_named *n = sp_config_named(config); n != NULL; n = n->next)
        add(views, len_out, n->path, false);
    for (size_t i = 0; i < 2; i++)
        if (logs[i][0] != '\0' && strcmp(logs[i], "-") != 0)
            add(views, len_out, logs[i], true);
    return views;
}

/* ---- what is told ---- */

/* A log's folder that is not there yet is made by the service manager, or missed at the start. */
static bool is_fault(const struct sp_app_view *view)
{
    return view->error != 0 && !(view->write && view->error == ENOENT);
}

/* A group of its own keeps what it has: the user joins it. */
static void put_remedy(char *out, size_t size, const struct passwd *who, const char *place,
                       const char *need)
{
    struct stat is;
    bool is_shared = stat(place, &is) == 0 && is.st_gid != 0 && is.st_gid != who->pw_gid;
    const struct group *group = getgrgid(is_shared ? is.st_gid : who->pw_gid);
    char number[24];
    const char *name = group != NULL ? group->gr_name : number;

    (void)snprintf(number, sizeof(number), "%u", (unsigned)(is_shared ? is.st_gid : who->pw_gid));
    if (is_shared)
        (void)snprintf(out, size, "usermod -aG %.64s %.64s && chmod %s %s, and restart sallyport",
                       name, who->pw_name, need, place);
    else
        (void)snprintf(out, size, "chgrp %.64s %s && chmod %s %s", name, place, need, place);
}

static void tell_fault(const struct sp_app_doctor_files *q, const struct passwd *who,
                       const struct sp_app_view *view)
{
    int len = view->folder_len > 0 ? (int)view->folder_len : (int)strlen(view->path);
    bool folder = view->folder_len > 0;
    bool later = !view->write && sp_app_options_of(q->config)->user[0] != '\0';
    const char *need = view->write ? folder ? "g+wx" : "g+w" : folder ? "g+x" : "g+r";
    char place[512], what[200], state[1700], remedy[1400];

    (void)snprintf(place, sizeof(place), "%.*s", len, view->path);
    (void)snprintf(what, sizeof(what), "file for user %.64s", who->pw_name);
    (void)snprintf(state, sizeof(state), "%.512s cannot be %s by user %.64s: %s%s%s%s", view->path,
                   view->write ? "written" : "read", who->pw_name, strerror(view->error),
                   folder ? " at the folder " : "", folder ? place : "",
                   later ? " (a start by root reads it, a reload is refused)" : "");
    put_remedy(remedy, sizeof(remedy), who, place, need);
    q->tell(q->owner, false, what, state,
            view->error == EACCES ? remedy : "correct what the configuration names, or the file");
}

static void tell_all(const struct sp_app_doctor_files *q, const struct passwd *who,
                     const struct sp_app_view *views, size_t len)
{
    char what[200], state[200];
    unsigned faults = 0;

    for (size_t i = 0; i < len; i++) {
        if (!is_fault(&views[i]))
            continue;
        faults++;
        tell_fault(q, who, &views[i]);
    }
    (void)snprintf(what, sizeof(what), "files for user %.64s", who->pw_name);
    (void)snprintf(state, sizeof(state), "all %zu can be opened by the user that sallyport runs as",
                   len);
    if (faults == 0)
        q->tell(q->owner, true, what, state, NULL);
}

void sp_app_doctor_files(const struct sp_app_doctor_files *q)
{
    const struct passwd *who = who_serves(q);
    struct sp_app_view *views;
    size_t len;

    if (who == NULL)
        return;
    views = list(q->config, &len);
    if (views == NULL || sp_app_eyes_look(who, views, len) != SP_OK)
        q->tell(q->owner, false, "files for the user that sallyport runs as",
                "could not be looked at: no memory, no process, or a file system that hangs",
                "look at them as that user: setpriv --reuid=USER --init-groups ls -l FILE");
    else
        tell_all(q, who, views, len);
    free(views);
}
