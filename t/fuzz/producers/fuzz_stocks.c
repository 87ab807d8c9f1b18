#include "fuzz.h"
#include "../../../producers/stocks/stocks.h"


static flux_stocks_t  stocks;
static flux_stock_t   stock = { .symbol = "AAPL", .name = "Apple" };


int
LLVMFuzzerInitialize(int *argc, char ***argv)
{
    (void) argc;
    (void) argv;

    fuzz_app(&stocks.app);
    stocks.stocks = &stock;
    stocks.count = 1;

    return 0;
}


int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    fuzz_parse(&flux_finnhub, &stocks, "AAPL", data, size);

    return 0;
}
