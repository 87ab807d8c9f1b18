#include "fuzz.h"
#include "../../../producers/news/news.h"


static flux_news_t  news;


int
LLVMFuzzerInitialize(int *argc, char ***argv)
{
    (void) argc;
    (void) argv;

    fuzz_app(&news.app);
    news.limit = 30;
    news.seen = flux_seen_new();

    return (news.seen != NULL) ? 0 : 1;
}


int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char   plain[64];
    char  *text;

    if (size == 0) {
        return 0;
    }

    switch (data[0] % 3) {

    case 0:
        fuzz_parse(&flux_rss, &news, "https://feed.example/", data + 1,
                   size - 1);
        break;

    case 1:
        fuzz_parse(&flux_hn, &news, "front_page", data + 1, size - 1);
        break;

    default:
        text = strndup((const char *) data + 1, size - 1);
        if (text != NULL) {
            flux_plain_text(plain, sizeof(plain), text);
            flux_news_date(text);
            free(text);
        }

        break;
    }

    return 0;
}
