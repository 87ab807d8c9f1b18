#include "flux_decimal.h"

#include <string.h>


static __int128
flux_power_of_ten(int n)
{
    __int128  power;

    power = 1;

    while (n-- > 0) {
        power *= 10;
    }

    return power;
}


static int
flux_decimal_digits(__int128 units)
{
    int  n;

    for (n = 0; units != 0; n++) {
        units /= 10;
    }

    return n;
}


/* the exponent after e or E, at most two digits: no provider needs more */

static flux_rc_t
flux_decimal_exponent(const char *p, int *exponent)
{
    int  n, negative, digits;

    negative = (*p == '-');

    if (*p == '-' || *p == '+') {
        p++;
    }

    n = 0;

    for (digits = 0; *p >= '0' && *p <= '9'; digits++) {
        if (digits == 2) {
            return FLUX_FULL;
        }

        n = n * 10 + (*p++ - '0');
    }

    if (digits == 0 || *p != '\0') {
        return FLUX_INVALID;
    }

    *exponent = negative ? -n : n;

    return FLUX_OK;
}


static flux_rc_t
flux_decimal_shift(flux_decimal_t *d, int exponent)
{
    d->scale -= exponent;

    if (d->scale < 0) {
        if (flux_decimal_digits(d->units) - d->scale > FLUX_DECIMAL_DIGITS) {
            return FLUX_FULL;
        }

        d->units *= flux_power_of_ten(-d->scale);
        d->scale = 0;
    }

    return (d->scale <= FLUX_DECIMAL_DIGITS) ? FLUX_OK : FLUX_FULL;
}


flux_rc_t
flux_decimal_parse(flux_decimal_t *d, const char *text)
{
    int         point, digits, exponent, negative;
    flux_rc_t   rc;
    const char *p;

    d->units = 0;
    d->scale = 0;

    p = text;
    negative = (*p == '-');
    p += negative;
    point = 0;

    for (digits = 0; (*p >= '0' && *p <= '9') || *p == '.'; p++) {

        if (*p == '.') {
            if (point || digits == 0 || p[1] < '0' || p[1] > '9') {
                return FLUX_INVALID;
            }

            point = 1;
            continue;
        }

        digits++;
        d->units = d->units * 10 + (*p - '0');
        d->scale += point;

        if (d->scale > FLUX_DECIMAL_DIGITS
            || flux_decimal_digits(d->units) > FLUX_DECIMAL_DIGITS)
        {
            return FLUX_FULL;
        }
    }

    if (digits == 0) {
        return FLUX_INVALID;
    }

    if (negative) {
        d->units = -d->units;
    }

    if (*p == 'e' || *p == 'E') {
        rc = flux_decimal_exponent(p + 1, &exponent);
        return (rc == FLUX_OK) ? flux_decimal_shift(d, exponent) : rc;
    }

    return (*p == '\0') ? FLUX_OK : FLUX_INVALID;
}


void
flux_decimal_format(const flux_decimal_t *d, char out[FLUX_DECIMAL_SIZE])
{
    int                 i, n;
    char                digits[FLUX_DECIMAL_SIZE], *p;
    unsigned __int128   units;

    units = (d->units < 0) ? -(unsigned __int128) d->units
                           : (unsigned __int128) d->units;

    /* 40 places and a point at most: __int128 has 39 digits */

    for (n = 0; (units != 0 || n <= d->scale) && n < 40; n++) {
        digits[n] = (char) ('0' + (int) (units % 10));
        units /= 10;
    }

    p = out;

    if (d->units < 0) {
        *p++ = '-';
    }

    for (i = n - 1; i >= 0; i--) {
        *p++ = digits[i];

        if (i == d->scale && i != 0) {
            *p++ = '.';
        }
    }

    *p = '\0';
}


/* n / by, half away from zero */

static __int128
flux_divide_rounded(__int128 n, __int128 by)
{
    __int128  half;

    half = by / 2;

    return (n < 0) ? (n - half) / by : (n + half) / by;
}


flux_rc_t
flux_decimal_round(flux_decimal_t *d, int places)
{
    int  more;

    if (places < 0 || places > FLUX_DECIMAL_DIGITS) {
        return FLUX_INVALID;
    }

    more = places - d->scale;

    if (more < 0) {
        d->units = flux_divide_rounded(d->units, flux_power_of_ten(-more));

    } else {
        if (flux_decimal_digits(d->units) + more > 36) {
            return FLUX_FULL;
        }

        d->units *= flux_power_of_ten(more);
    }

    d->scale = places;

    return FLUX_OK;
}


/* brings both to one scale */

static flux_rc_t
flux_decimal_align(flux_decimal_t *a, flux_decimal_t *b)
{
    int  scale;

    scale = (a->scale > b->scale) ? a->scale : b->scale;

    if (flux_decimal_digits(a->units) + scale - a->scale > 36
        || flux_decimal_digits(b->units) + scale - b->scale > 36)
    {
        return FLUX_FULL;
    }

    a->units *= flux_power_of_ten(scale - a->scale);
    b->units *= flux_power_of_ten(scale - b->scale);
    a->scale = b->scale = scale;

    return FLUX_OK;
}


int
flux_decimal_compare(const flux_decimal_t *a, const flux_decimal_t *b)
{
    flux_decimal_t  x, y;

    x = *a;
    y = *b;

    /*
     * Only numbers further apart than 36 digits do not align: then the one
     * with more digits before its point decides.
     */

    if (flux_decimal_align(&x, &y) != FLUX_OK) {
        x.units /= flux_power_of_ten(x.scale);
        y.units /= flux_power_of_ten(y.scale);
    }

    return (x.units > y.units) - (x.units < y.units);
}


flux_rc_t
flux_decimal_linear(flux_decimal_t *d, const flux_decimal_t *factor,
    const flux_decimal_t *addend)
{
    flux_decimal_t  sum, add;

    if (flux_decimal_digits(d->units) + flux_decimal_digits(factor->units)
        > 36)
    {
        return FLUX_FULL;
    }

    sum.units = d->units * factor->units;
    sum.scale = d->scale + factor->scale;
    add = *addend;

    if (flux_decimal_align(&sum, &add) != FLUX_OK
        || sum.scale > FLUX_DECIMAL_DIGITS)
    {
        return FLUX_FULL;
    }

    sum.units += add.units;
    *d = sum;

    return FLUX_OK;
}


flux_rc_t
flux_decimal_percent(const char *from, const char *to, int places,
    char out[FLUX_DECIMAL_SIZE])
{
    flux_rc_t       rc;
    flux_decimal_t  a, b, percent;

    rc = flux_decimal_parse(&a, from);
    if (rc == FLUX_OK) {
        rc = flux_decimal_parse(&b, to);
    }

    if (rc != FLUX_OK) {
        return rc;
    }

    if (a.units <= 0 || places < 0 || places > 8) {
        return FLUX_INVALID;
    }

    if (flux_decimal_align(&a, &b) != FLUX_OK
        || flux_decimal_digits(b.units - a.units) + places + 2 > 36)
    {
        return FLUX_FULL;
    }

    percent.units = flux_divide_rounded((b.units - a.units)
                                        * flux_power_of_ten(places + 2),
                                        a.units);
    percent.scale = places;

    flux_decimal_format(&percent, out);

    return FLUX_OK;
}


int
flux_decimal_positive(const char *text)
{
    flux_decimal_t  d;

    return text != NULL && flux_decimal_parse(&d, text) == FLUX_OK
           && d.units > 0;
}


int
flux_decimal_unsigned(const char *text)
{
    flux_decimal_t  d;

    return text != NULL && flux_decimal_parse(&d, text) == FLUX_OK
           && d.units >= 0;
}
