#include "ngx_http_flux_compress.h"
#include "ngx_http_flux_reader.h"


static ngx_http_flux_channel_t *ngx_http_flux_channel_create(ngx_str_t *name,
    uint32_t hash, ngx_http_flux_address_t *addresses, ngx_uint_t n,
    ngx_array_t *keys, ngx_msec_t pace);
static ngx_int_t ngx_http_flux_channel_add_room(
    ngx_http_flux_channel_t *channel, ngx_http_flux_address_t *address);
static void ngx_http_flux_channel_add_feed(ngx_http_flux_channel_t *channel,
    ngx_http_flux_feed_t *feed);


/* --- channels ------------------------------------------------------------ */

static int ngx_libc_cdecl
ngx_http_flux_compare_addresses(const void *one, const void *two)
{
    const ngx_http_flux_address_t  *a = one;
    const ngx_http_flux_address_t  *b = two;

    return (int) ngx_memn2cmp(a->text.data, b->text.data, a->text.len,
                              b->text.len);
}


static int ngx_libc_cdecl
ngx_http_flux_compare_hashes(const void *one, const void *two)
{
    uint32_t  a = *(const uint32_t *) one;
    uint32_t  b = *(const uint32_t *) two;

    return (a > b) - (a < b);
}


/* Rooms, keys and pace as one text: neither has control characters in it. */

static ngx_int_t
ngx_http_flux_channel_name(ngx_str_t *name, ngx_http_flux_address_t *addresses,
    ngx_uint_t n, ngx_array_t *keys, ngx_msec_t pace)
{
    size_t       len;
    u_char      *p;
    ngx_str_t   *key = keys ? keys->elts : NULL;
    ngx_uint_t   i;

    len = NGX_INT_T_LEN;

    for (i = 0; i < n; i++) {
        len += 1 + addresses[i].text.len;
    }

    for (i = 0; keys != NULL && i < keys->nelts; i++) {
        len += 1 + key[i].len;
    }

    name->data = ngx_alloc(len, ngx_http_flux_hub.log);
    if (name->data == NULL) {
        return NGX_ERROR;
    }

    p = ngx_sprintf(name->data, "%M", pace);

    for (i = 0; i < n; i++) {
        *p++ = '\1';
        p = ngx_cpymem(p, addresses[i].text.data, addresses[i].text.len);
    }

    for (i = 0; keys != NULL && i < keys->nelts; i++) {
        *p++ = '\2';
        p = ngx_cpymem(p, key[i].data, key[i].len);
    }

    name->len = p - name->data;

    return NGX_OK;
}


ngx_http_flux_channel_t *
ngx_http_flux_channel_get(ngx_http_flux_address_t *addresses, ngx_uint_t n,
    ngx_array_t *keys, ngx_msec_t pace)
{
    uint32_t                  hash;
    ngx_str_t                 name;
    ngx_uint_t                i, k;
    ngx_http_flux_hub_t      *hub = &ngx_http_flux_hub;
    ngx_http_flux_channel_t  *channel;

    ngx_qsort(addresses, n, sizeof(ngx_http_flux_address_t),
              ngx_http_flux_compare_addresses);

    for (i = 1, k = 1; i < n; i++) {
        if (ngx_http_flux_compare_addresses(&addresses[k - 1], &addresses[i])
            != 0)
        {
            addresses[k++] = addresses[i];
        }
    }

    n = ngx_min(n, k);

    if (ngx_http_flux_channel_name(&name, addresses, n, keys, pace)
        != NGX_OK)
    {
        return NULL;
    }

    hash = ngx_crc32_long(name.data, name.len);

    channel = (ngx_http_flux_channel_t *)
                  ngx_str_rbtree_lookup(&hub->channels, &name, hash);

    if (channel != NULL) {
        ngx_free(name.data);
        channel->refs++;
        return channel;
    }

    channel = ngx_http_flux_channel_create(&name, hash, addresses, n, keys,
                                           pace);
    ngx_free(name.data);

    return channel;
}


static ngx_http_flux_channel_t *
ngx_http_flux_channel_create(ngx_str_t *name, uint32_t hash,
    ngx_http_flux_address_t *addresses, ngx_uint_t n, ngx_array_t *keys,
    ngx_msec_t pace)
{
    ngx_str_t                *key, *copy;
    ngx_pool_t               *pool;
    ngx_uint_t                i;
    ngx_http_flux_hub_t      *hub = &ngx_http_flux_hub;
    ngx_http_flux_channel_t  *channel;

    if (ngx_http_flux_hub_awake() != NGX_OK) {
        return NULL;
    }

    pool = ngx_create_pool(512, hub->log);
    if (pool == NULL) {
        return NULL;
    }

    channel = ngx_pcalloc(pool, sizeof(ngx_http_flux_channel_t));
    if (channel == NULL) {
        ngx_destroy_pool(pool);
        return NULL;
    }

    channel->refs = 1;
    channel->pool = pool;
    channel->pace = pace;
    ngx_queue_init(&channel->front);
    ngx_queue_init(&channel->sent);

    channel->timer.handler = ngx_http_flux_channel_tick;
    channel->timer.data = channel;
    channel->timer.log = hub->log;
    channel->timer.cancelable = 1;

    channel->sn.str.len = name->len;
    channel->sn.str.data = ngx_pstrdup(pool, name);
    channel->sn.node.key = hash;

    channel->links = ngx_pcalloc(pool, n * sizeof(ngx_http_flux_link_t));
    channel->feeds = ngx_palloc(pool, n * sizeof(ngx_http_flux_feed_t *));
    channel->layers = ngx_palloc(pool, n * sizeof(ngx_uint_t));
    channel->hashes = ngx_palloc(pool, n * sizeof(uint32_t));

    if (channel->sn.str.data == NULL || channel->links == NULL
        || channel->feeds == NULL || channel->layers == NULL
        || channel->hashes == NULL)
    {
        ngx_destroy_pool(pool);
        return NULL;
    }

    if (keys != NULL) {
        channel->keys = ngx_array_create(pool, keys->nelts, sizeof(ngx_str_t));
        key = keys->elts;

        for (i = 0; channel->keys != NULL && i < keys->nelts; i++) {

            copy = ngx_array_push(channel->keys);
            copy->len = key[i].len;
            copy->data = ngx_pstrdup(pool, &key[i]);

            if (copy->data == NULL) {
                channel->keys = NULL;
                break;
            }

            /* in whatever order they are named */
            channel->filter += flux_hash_end(flux_hash(FLUX_HASH_START,
                                                       copy->data, copy->len));
        }

        if (channel->keys == NULL) {
            ngx_destroy_pool(pool);
            return NULL;
        }
    }

    ngx_rbtree_insert(&hub->channels, &channel->sn.node);
    ngx_queue_insert_tail(&hub->all, &channel->all);

    for (i = 0; i < n; i++) {
        if (ngx_http_flux_channel_add_room(channel, &addresses[i]) != NGX_OK) {
            ngx_http_flux_channel_release(channel);
            return NULL;
        }
    }

    ngx_qsort(channel->hashes, n, sizeof(uint32_t),
              ngx_http_flux_compare_hashes);

    return channel;
}


static ngx_int_t
ngx_http_flux_channel_add_room(ngx_http_flux_channel_t *channel,
    ngx_http_flux_address_t *address)
{
    ngx_http_flux_link_t  *link = &channel->links[channel->nrooms];

    link->room = ngx_http_flux_room_get(address);
    if (link->room == NULL) {
        return NGX_ERROR;
    }

    link->channel = channel;
    ngx_queue_insert_tail(&link->room->links, &link->queue);

    if (!ngx_http_flux_channel_has(channel, address->feed)) {
        ngx_http_flux_channel_add_feed(channel, address->feed);
    }

    channel->hashes[channel->nrooms++] =
                               ngx_http_flux_channel_hash(channel, link->room);

    return NGX_OK;
}


void
ngx_http_flux_channel_release(ngx_http_flux_channel_t *channel)
{
    ngx_uint_t            i;
    ngx_http_flux_hub_t  *hub = &ngx_http_flux_hub;

    if (--channel->refs) {
        return;
    }

    ngx_rbtree_delete(&hub->channels, &channel->sn.node);
    ngx_queue_remove(&channel->all);

    if (channel->queued) {
        ngx_queue_remove(&channel->dirty);
    }

    if (channel->timer.timer_set) {
        ngx_del_timer(&channel->timer);
    }

    for (i = 0; i < channel->nrooms; i++) {
        ngx_queue_remove(&channel->links[i].queue);
        ngx_http_flux_room_release(channel->links[i].room);
    }

    ngx_http_flux_channel_forget(channel);

    if (channel->pending != NULL) {
        ngx_http_flux_frame_release(channel->pending);
    }

    if (channel->sending != NULL) {
        ngx_http_flux_frame_release(channel->sending);
    }

    if (channel->rest != NULL) {
        ngx_http_flux_frame_release(channel->rest);
    }

    ngx_http_flux_compress_close(&channel->streams[0]);
    ngx_http_flux_compress_close(&channel->streams[1]);

    ngx_free(channel->cursor.data);
    ngx_destroy_pool(channel->pool);
}


static ngx_uint_t
ngx_http_flux_channel_share(ngx_http_flux_feed_t *one,
    ngx_http_flux_feed_t *two)
{
    ngx_str_t   *a = one->topics.elts, *b = two->topics.elts;
    ngx_uint_t   i, k;

    /* two names of a cluster may be one cluster */

    for (i = 0; i < one->topics.nelts; i++) {
        for (k = 0; k < two->topics.nelts; k++) {
            if (a[i].len == b[k].len
                && ngx_memcmp(a[i].data, b[k].data, a[i].len) == 0)
            {
                return 1;
            }
        }
    }

    return 0;
}


/* In the first layer where nobody shares a topic with it. */

static void
ngx_http_flux_channel_add_feed(ngx_http_flux_channel_t *channel,
    ngx_http_flux_feed_t *feed)
{
    ngx_uint_t  i, layer = 0;

    for (i = 0; i < channel->nfeeds; i++) {
        if (channel->layers[i] == layer
            && ngx_http_flux_channel_share(channel->feeds[i], feed))
        {
            layer++;
            i = (ngx_uint_t) -1;
        }
    }

    channel->feeds[channel->nfeeds] = feed;
    channel->layers[channel->nfeeds++] = layer;
    channel->nlayers = ngx_max(channel->nlayers, layer + 1);
}


ngx_uint_t
ngx_http_flux_channel_layer(ngx_http_flux_channel_t *channel,
    ngx_http_flux_feed_t *feed)
{
    ngx_uint_t  i;

    for (i = 0; i < channel->nfeeds; i++) {
        if (channel->feeds[i] == feed) {
            return channel->layers[i];
        }
    }

    return 0;
}


ngx_uint_t
ngx_http_flux_channel_has(ngx_http_flux_channel_t *channel,
    ngx_http_flux_feed_t *feed)
{
    ngx_uint_t  i;

    for (i = 0; i < channel->nfeeds; i++) {
        if (channel->feeds[i] == feed) {
            return 1;
        }
    }

    return 0;
}


ngx_uint_t
ngx_http_flux_channel_wants(ngx_http_flux_channel_t *channel,
    const u_char *key, size_t len)
{
    ngx_str_t   *wanted;
    ngx_uint_t   i;

    if (channel->keys == NULL) {
        return 1;
    }

    wanted = channel->keys->elts;

    for (i = 0; i < channel->keys->nelts; i++) {
        if (wanted[i].len == len
            && ngx_memcmp(wanted[i].data, key, len) == 0)
        {
            return 1;
        }
    }

    return 0;
}


void
ngx_http_flux_channel_forget(ngx_http_flux_channel_t *channel)
{
    if (channel->snapshot != NULL) {
        ngx_http_flux_frame_release(channel->snapshot);
        channel->snapshot = NULL;
    }
}


/* --- what the log brings ------------------------------------------------- */

void
ngx_http_flux_channel_mark(ngx_http_flux_channel_t *channel)
{
    if (!channel->queued) {
        channel->queued = 1;
        ngx_queue_insert_tail(&ngx_http_flux_hub.dirty, &channel->dirty);
    }
}


void
ngx_http_flux_channel_add(ngx_http_flux_channel_t *channel,
    flux_entry_t *entry, uint64_t position)
{
    u_char               *p;
    ngx_http_flux_hub_t  *hub = &ngx_http_flux_hub;

    ngx_http_flux_channel_forget(channel);

    if (ngx_queue_empty(&channel->front) && ngx_queue_empty(&channel->sent)) {
        /* whoever reads it takes it from the log */
        return;
    }

    if (channel->pace) {
        /* what is newest when the time has come is in the index */
        channel->changed = 1;
        ngx_http_flux_channel_mark(channel);
        return;
    }

    if (channel->pending == NULL) {
        channel->pending = ngx_http_flux_frame_create(hub->log);
        if (channel->pending == NULL) {
            channel->broken = 1;
            ngx_http_flux_channel_mark(channel);
            return;
        }
    }

    p = ngx_http_flux_frame_message(channel->pending, entry->message_length,
                                    entry->ordinal);
    if (p == NULL) {
        channel->broken = 1;
        ngx_http_flux_channel_mark(channel);
        return;
    }

    if (flux_log_copy(&hub->zone->log, position, 0, p, entry->message_length)
        != FLUX_OK
        || !ngx_http_flux_channel_wants(channel,
                                p + flux_message_key_at(entry->address_length),
                                entry->key_length))
    {
        /* overwritten: the next read of the log tells so, too */
        ngx_http_flux_frame_undo(channel->pending, entry->message_length);
        return;
    }

    ngx_http_flux_channel_mark(channel);
}


void
ngx_http_flux_channel_join(ngx_http_flux_channel_t *channel,
    ngx_http_flux_reader_t *reader, uint64_t ordinal)
{
    ngx_str_t  cursor;

    if (ngx_queue_empty(&channel->front) && ngx_queue_empty(&channel->sent)) {

        /* the first one: the channel stands where it stands */

        if (channel->pending != NULL) {
            ngx_http_flux_frame_release(channel->pending);
            channel->pending = NULL;
        }

        channel->changed = 0;
        channel->broken = 0;

        if (ngx_http_flux_channel_cursor(channel, &cursor) == NGX_OK) {
            ngx_http_flux_channel_stand(channel, &cursor);
        }
    }

    reader->front = 1;
    reader->ordinal = ordinal;
    reader->serial = channel->serial - 1;
    ngx_queue_insert_tail(&channel->front, &reader->queue);

    /* until the channel's next frame its place may not be the channel's */

    if (ngx_http_flux_channel_cursor(channel, &cursor) == NGX_OK
        && (cursor.len != channel->cursor.len
            || ngx_memcmp(cursor.data, channel->cursor.data, cursor.len) != 0))
    {
        reader->joined.data = ngx_alloc(cursor.len, ngx_http_flux_hub.log);

        if (reader->joined.data != NULL) {
            ngx_memcpy(reader->joined.data, cursor.data, cursor.len);
            reader->joined.len = cursor.len;
        }
    }
}


void
ngx_http_flux_channel_fall_back(ngx_http_flux_channel_t *channel)
{
    ngx_queue_t             *q;
    ngx_http_flux_reader_t  *reader;

    channel->refs++;

    while (!ngx_queue_empty(&channel->sent)) {
        q = ngx_queue_head(&channel->sent);
        reader = ngx_queue_data(q, ngx_http_flux_reader_t, queue);
        ngx_http_flux_reader_fall_back(reader);
    }

    while (!ngx_queue_empty(&channel->front)) {
        q = ngx_queue_head(&channel->front);
        reader = ngx_queue_data(q, ngx_http_flux_reader_t, queue);
        ngx_http_flux_reader_fall_back(reader);
    }

    if (channel->pending != NULL) {
        ngx_http_flux_frame_release(channel->pending);
        channel->pending = NULL;
    }

    ngx_http_flux_channel_release(channel);
}


/* --- cursors ------------------------------------------------------------- */

int64_t
ngx_http_flux_channel_expired(ngx_http_flux_channel_t *channel)
{
    int64_t               expired = INT64_MAX;
    ngx_uint_t            i;
    ngx_http_flux_hub_t  *hub = &ngx_http_flux_hub;

    for (i = 0; i < channel->nfeeds; i++) {

        if (channel->feeds[i]->expire == 0) {
            continue;
        }

        expired = ngx_min(expired,
                          hub->positions[channel->feeds[i]->index].expired);
    }

    return expired == INT64_MAX ? 0 : expired;
}


uint64_t
ngx_http_flux_channel_told(ngx_http_flux_channel_t *channel, int64_t time)
{
    uint64_t                    told = 0;
    ngx_uint_t                  i;
    ngx_http_flux_positions_t  *positions;

    for (i = 0; i < channel->nfeeds; i++) {
        positions = &ngx_http_flux_hub.positions[channel->feeds[i]->index];

        if (positions->newest_expire > time) {
            told = ngx_max(told, positions->told);
        }
    }

    return told;
}


ngx_int_t
ngx_http_flux_cursor_text(flux_cursor_t *from, ngx_str_t *text)
{
    size_t                size;
    u_char               *p;
    ngx_http_flux_hub_t  *hub = &ngx_http_flux_hub;

    size = flux_cursor_size(from);

    if (hub->scratch_size < size) {
        p = ngx_alloc(size, hub->log);
        if (p == NULL) {
            return NGX_ERROR;
        }

        ngx_free(hub->scratch);
        hub->scratch = p;
        hub->scratch_size = size;
    }

    text->data = hub->scratch;
    text->len = flux_cursor_encode((char *) hub->scratch, from);

    return NGX_OK;
}


ngx_int_t
ngx_http_flux_channel_cursor(ngx_http_flux_channel_t *channel,
    ngx_str_t *text)
{
    u_char                     *memory;
    uint32_t                   *rooms;
    ngx_int_t                   rc;
    ngx_uint_t                  i, n, layer;
    flux_cursor_t               cursor;
    ngx_http_flux_hub_t        *hub = &ngx_http_flux_hub;
    flux_cursor_place_t        *places;
    flux_cursor_section_t      *section;
    ngx_http_flux_positions_t  *positions;

    cursor.time = ngx_http_flux_channel_expired(channel);
    cursor.log = hub->zone->log.header->id;
    cursor.told = ngx_http_flux_channel_told(channel, cursor.time);

    if (channel->nfeeds == 1) {
        positions = &hub->positions[channel->feeds[0]->index];

        cursor.nsections = 1;
        cursor.sections[0].rooms = channel->hashes;
        cursor.sections[0].nrooms = channel->nrooms;
        cursor.sections[0].places = positions->places;
        cursor.sections[0].nplaces = positions->n;

        return ngx_http_flux_cursor_text(&cursor, text);
    }

    n = 0;

    for (i = 0; i < channel->nfeeds; i++) {
        n += hub->positions[channel->feeds[i]->index].n;
    }

    memory = ngx_alloc(n * sizeof(flux_cursor_place_t)
                       + (channel->nrooms + 1) * sizeof(uint32_t), hub->log);
    if (memory == NULL) {
        return NGX_ERROR;
    }

    places = (flux_cursor_place_t *) memory;
    rooms = (uint32_t *) (places + n);

    /* rooms of layers that a cursor has no section for begin anew */

    cursor.nsections = ngx_min(channel->nlayers, FLUX_CURSOR_SECTIONS - 1);

    for (layer = 0; layer < cursor.nsections; layer++) {
        section = &cursor.sections[layer];

        section->rooms = rooms;
        section->nrooms = 0;
        section->places = places;
        section->nplaces = 0;

        for (i = 0; i < channel->nrooms; i++) {
            if (ngx_http_flux_channel_layer(channel,
                                            channel->links[i].room->feed)
                == layer)
            {
                *rooms++ = ngx_http_flux_channel_hash(channel,
                                                      channel->links[i].room);
                section->nrooms++;
            }
        }

        for (i = 0; i < channel->nfeeds; i++) {

            if (channel->layers[i] != layer) {
                continue;
            }

            positions = &hub->positions[channel->feeds[i]->index];
            ngx_memcpy(places, positions->places,
                       positions->n * sizeof(flux_cursor_place_t));
            places += positions->n;
            section->nplaces += positions->n;
        }
    }

    rc = ngx_http_flux_cursor_text(&cursor, text);

    ngx_free(memory);

    return rc;
}
