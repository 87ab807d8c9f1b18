/*
 * Decimal numbers as text and as integers with a scale, for the few sums a
 * producer makes itself (a change in percent, Fahrenheit). Never a double.
 */

#ifndef FLUX_DECIMAL_H
#define FLUX_DECIMAL_H

#include "flux_common.h"

/* enough for any result: sign, 39 digits, point, a leading zero, NUL */
#define FLUX_DECIMAL_SIZE  48

/* so that a product with a power of ten up to 10^12 fits 128 bits */
#define FLUX_DECIMAL_DIGITS  24

typedef struct {
    __int128  units;        /* the number is units / 10^scale */
    int       scale;        /* 0 .. FLUX_DECIMAL_DIGITS */
} flux_decimal_t;

/*
 * Takes -?digits(.digits)?([eE][+-]?digits)? and nothing else.
 * FLUX_FULL for one with more than FLUX_DECIMAL_DIGITS digits.
 */
flux_rc_t flux_decimal_parse(flux_decimal_t *d, const char *text);

/* units / 10^scale, as text with exactly scale places: (-5, 2) is -0.05. */
void flux_decimal_format(const flux_decimal_t *d,
    char out[FLUX_DECIMAL_SIZE]);

/* Rounds half away from zero to places; more places than there are add 0s. */
flux_rc_t flux_decimal_round(flux_decimal_t *d, int places);

/* < 0, 0 or > 0. */
int flux_decimal_compare(const flux_decimal_t *a, const flux_decimal_t *b);

/* d * factor + addend, exactly. */
flux_rc_t flux_decimal_linear(flux_decimal_t *d, const flux_decimal_t *factor,
    const flux_decimal_t *addend);

/*
 * The change from one number to another in percent, rounded to places:
 * ("100", "101.5", 2) is 1.50. FLUX_INVALID when from is zero or negative.
 */
flux_rc_t flux_decimal_percent(const char *from, const char *to, int places,
    char out[FLUX_DECIMAL_SIZE]);

/* 1 if text is a decimal number above zero, as a price has to be. */
int flux_decimal_positive(const char *text);

/* 1 if text is a decimal number, zero or above. */
int flux_decimal_unsigned(const char *text);

#endif /* FLUX_DECIMAL_H */
