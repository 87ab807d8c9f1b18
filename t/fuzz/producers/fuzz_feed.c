/* The WebSocket client's reading side: handshake and frames, in pieces. */

#include "../../../producers/common/flux_websocket.c"

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);


static flux_loop_t  *fuzz_loop;
static size_t        fuzz_bytes;


static void
fuzz_opened(void *arg)
{
    (void) arg;
}


static void
fuzz_message(void *arg, const char *text, size_t len)
{
    size_t  i;

    (void) arg;

    for (i = 0; i < len; i++) {
        fuzz_bytes += (unsigned char) text[i];      /* all is readable */
    }
}


static void
fuzz_closed(void *arg, const char *why)
{
    (void) arg;
    fuzz_bytes += strlen(why);
}


int
LLVMFuzzerInitialize(int *argc, char ***argv)
{
    (void) argc;
    (void) argv;
    fuzz_loop = flux_loop_new();

    return (fuzz_loop != NULL) ? 0 : 1;
}


int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    size_t                     n, step;
    flux_websocket_t          *ws;
    flux_websocket_options_t   options;

    if (size < 2) {
        return 0;
    }

    memset(&options, 0, sizeof(options));
    options.url = "ws://127.0.0.1:9/";
    options.agent = "fuzz";
    options.connect_ms = 1000;
    options.silence_ms = 1000;
    options.message_max = 1024;
    options.opened = fuzz_opened;
    options.message = fuzz_message;
    options.closed = fuzz_closed;

    ws = flux_websocket_new(fuzz_loop, &options);
    if (ws == NULL) {
        return 0;
    }

    ws->open = data[0] & 1;
    flux_copy_text(ws->key, sizeof(ws->key), "dGhlIHNhbXBsZSBub25jZQ==");
    step = 1 + data[1] % 64;

    for (data += 2, size -= 2; size > 0 && !ws->ended; size -= n, data += n) {
        n = (step < size) ? step : size;
        flux_websocket_received(ws, (const char *) data, n);
    }

    flux_websocket_free(ws);

    return 0;
}
