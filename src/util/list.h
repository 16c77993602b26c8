/* A doubly linked list whose links live in the elements. Header only. */
#ifndef SP_UTIL_LIST_H
#define SP_UTIL_LIST_H

#include "sallyport/base.h"

#include <stdbool.h>

struct sp_list {
    struct sp_list *next;
    struct sp_list *prev;
};

static inline void sp_list_init(struct sp_list *head)
{
    head->next = head;
    head->prev = head;
}

static inline bool sp_list_empty(const struct sp_list *head)
{
    return head->next == head;
}

static inline void sp_list_push(struct sp_list *head, struct sp_list *node) /* at the end */
{
    node->next = head;
    node->prev = head->prev;
    head->prev->next = node;
    head->prev = node;
}

static inline void sp_list_push_front(struct sp_list *head, struct sp_list *node)
{
    node->prev = head;
    node->next = head->next;
    head->next->prev = node;
    head->next = node;
}

/* Out of its list; linked to itself afterwards, so removing twice is harmless. */
static inline void sp_list_remove(struct sp_list *node)
{
    node->prev->next = node->next;
    node->next->prev = node->prev;
    node->next = node;
    node->prev = node;
}

/* The first element, taken out; NULL when empty. */
static inline struct sp_list *sp_list_shift(struct sp_list *head)
{
    struct sp_list *node = head->next;

    if (node == head)
        return NULL;
    sp_list_remove(node);
    return node;
}

/* All elements of `from` to the end of `to`; `from` is empty afterwards. */
static inline void sp_list_move_all(struct sp_list *to, struct sp_list *from)
{
    if (sp_list_empty(from))
        return;
    from->next->prev = to->prev;
    to->prev->next = from->next;
    from->prev->next = to;
    to->prev = from->prev;
    sp_list_init(from);
}

#define SP_LIST_EACH(node, head) \
    for ((node) = (head)->next; (node) != (head); (node) = (node)->next)
#define SP_LIST_EACH_SAFE(node, after, head)                              \
    for ((node) = (head)->next, (after) = (node)->next; (node) != (head); \
         (node) = (after), (after) = (node)->next)

#endif
