#include "fuzz.h"
#include "../../../producers/crypto/crypto.h"


static flux_crypto_t  crypto;


int
LLVMFuzzerInitialize(int *argc, char ***argv)
{
    (void) argc;
    (void) argv;

    fuzz_app(&crypto.app);
    crypto.count = 1;
    flux_copy_text(crypto.products[0].id, FLUX_PRODUCT_SIZE, "BTC-USD");
    crypto.products[0].name = "Bitcoin";

    return 0;
}


int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char  *why;

    if (size == 0) {
        return 0;
    }

    switch (data[0] % 4) {

    case 0:
        flux_coinbase_message(&crypto, (const char *) data + 1, size - 1,
                              FLUX_REPLAY, &why);
        break;

    case 1:
        fuzz_parse(&flux_coinbase, &crypto, "ticker/BTC-USD", data + 1,
                   size - 1);
        break;

    case 2:
        fuzz_parse(&flux_coinbase, &crypto, "stats/BTC-USD", data + 1,
                   size - 1);
        break;

    default:
        fuzz_parse(&flux_coingecko, &crypto, "markets", data + 1, size - 1);
        break;
    }

    return 0;
}
