#include "stocks.h"


/* prices of some day in 2025: where the simulation starts */

static const flux_symbol_t  flux_symbols[] = {
    { "AAPL", "Apple", 22937 }, { "MSFT", "Microsoft", 43012 },
    { "NVDA", "NVIDIA", 13544 }, { "AMZN", "Amazon", 22105 },
    { "GOOGL", "Alphabet", 19241 }, { "META", "Meta Platforms", 59120 },
    { "TSLA", "Tesla", 40356 }, { "BRK.B", "Berkshire Hathaway", 45390 },
    { "AVGO", "Broadcom", 23162 }, { "LLY", "Eli Lilly", 77205 },
    { "JPM", "JPMorgan Chase", 23986 }, { "V", "Visa", 31545 },
    { "MA", "Mastercard", 52670 }, { "XOM", "Exxon Mobil", 10698 },
    { "UNH", "UnitedHealth", 50612 }, { "COST", "Costco", 91630 },
    { "WMT", "Walmart", 9035 }, { "PG", "Procter & Gamble", 16765 },
    { "HD", "Home Depot", 38895 }, { "NFLX", "Netflix", 89132 },
    { "JNJ", "Johnson & Johnson", 14462 }, { "ABBV", "AbbVie", 17770 },
    { "BAC", "Bank of America", 4395 }, { "KO", "Coca-Cola", 6226 },
    { "CRM", "Salesforce", 33433 }, { "CVX", "Chevron", 14484 },
    { "MRK", "Merck", 9948 }, { "PEP", "PepsiCo", 15206 },
    { "AMD", "AMD", 12079 }, { "ORCL", "Oracle", 16664 },
    { "ADBE", "Adobe", 44468 }, { "CSCO", "Cisco", 5920 },
    { "ACN", "Accenture", 35179 }, { "TMO", "Thermo Fisher", 52023 },
    { "LIN", "Linde", 41867 }, { "MCD", "McDonald's", 28989 },
    { "ABT", "Abbott", 11311 }, { "INTC", "Intel", 2005 },
    { "IBM", "IBM", 21983 }, { "QCOM", "Qualcomm", 15362 },
    { "GE", "GE Aerospace", 16679 }, { "TXN", "Texas Instruments", 18751 },
    { "CAT", "Caterpillar", 36276 }, { "DIS", "Disney", 11135 },
    { "VZ", "Verizon", 3999 }, { "BA", "Boeing", 17700 },
    { "NKE", "Nike", 7567 }, { "GS", "Goldman Sachs", 57262 },
    { "PFE", "Pfizer", 2653 }, { "UBER", "Uber", 6032 },
    { "T", "AT&T", 2277 }, { "PLTR", "Palantir", 7563 }
};


const flux_symbol_t *
flux_symbol(size_t i)
{
    return (i < sizeof(flux_symbols) / sizeof(flux_symbols[0]))
           ? &flux_symbols[i] : NULL;
}
