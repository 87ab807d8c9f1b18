#include "crypto.h"

#include <string.h>


/* prices of some day in 2025: where the simulation starts */

static const flux_coin_t  flux_coins[] = {
    { "BTC", "Bitcoin", 9338100, 2 },
    { "ETH", "Ethereum", 331245, 2 },
    { "SOL", "Solana", 18964, 2 },
    { "XRP", "XRP", 20815, 4 },
    { "DOGE", "Dogecoin", 31420, 5 },
    { "ADA", "Cardano", 8427, 4 },
    { "AVAX", "Avalanche", 3518, 2 },
    { "LINK", "Chainlink", 19873, 3 },
    { "DOT", "Polkadot", 6612, 3 },
    { "LTC", "Litecoin", 10231, 2 },
    { "BCH", "Bitcoin Cash", 43180, 2 },
    { "XLM", "Stellar", 330120, 6 },
    { "UNI", "Uniswap", 13220, 3 },
    { "AAVE", "Aave", 30954, 2 },
    { "ATOM", "Cosmos", 6245, 3 },
    { "ETC", "Ethereum Classic", 2518, 2 },
    { "FIL", "Filecoin", 4937, 3 },
    { "ALGO", "Algorand", 3325, 4 },
    { "NEAR", "NEAR Protocol", 5012, 3 },
    { "APT", "Aptos", 872, 2 },
    { "ARB", "Arbitrum", 7204, 4 },
    { "OP", "Optimism", 1753, 3 },
    { "SHIB", "Shiba Inu", 2113, 8 },
    { "HBAR", "Hedera", 27351, 5 },
    { "SUI", "Sui", 40918, 4 }
};

static const flux_coin_t  flux_coin_other = { "", NULL, 10000, 2 };


const flux_coin_t *
flux_coin_find(const char *product)
{
    size_t  i, len;

    len = strcspn(product, "-");

    for (i = 0; i < sizeof(flux_coins) / sizeof(flux_coins[0]); i++) {
        if (strlen(flux_coins[i].code) == len
            && memcmp(flux_coins[i].code, product, len) == 0)
        {
            return &flux_coins[i];
        }
    }

    return &flux_coin_other;
}
