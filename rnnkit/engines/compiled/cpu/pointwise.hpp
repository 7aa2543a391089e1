// Pointwise functions of generated code, without branches, so that the compiler can vectorize the loops that call them.
#include <cmath>
#include <cstdint>
#include <cstring>

// The upper half of a float, rounded to even as torch rounds.
struct bf16 {
  uint16_t bits;
  operator float() const {
    uint32_t wide = (uint32_t)bits << 16;
    float value;
    std::memcpy(&value, &wide, 4);
    return value;
  }
  bf16() = default;
  bf16(float value) {
    uint32_t wide;
    std::memcpy(&wide, &value, 4);
    bits = value != value ? 0x7fc0 : (uint16_t)((wide + 0x7fff + ((wide >> 16) & 1)) >> 16);
  }
};
static inline float to_bf16(float value) { return bf16(value); }

// The functions below are polynomials through Chebyshev points, accurate to a few units in the last place of a float.
static inline float from_bits(uint32_t bits) {
  float value;
  std::memcpy(&value, &bits, 4);
  return value;
}
static inline uint32_t to_bits(float value) {
  uint32_t bits;
  std::memcpy(&bits, &value, 4);
  return bits;
}

// e^x = 2^n e^r with x = n ln 2 + r (Cody and Waite).
static inline float exp_(float x) {
  const float limited = x < -104.f ? -104.f : (x > 89.f ? 89.f : x);
  const float n = std::rint(limited * 1.44269504f);
  // ln 2 in two parts; the first one has few bits, so that its product with n is exact.
  const float r = (limited - n * 0.693359375f) + n * 2.12194440e-4f;
  float p = 1.989108046e-4f;
  p = p * r + 1.393373072e-3f;
  p = p * r + 8.333310845e-3f;
  p = p * r + 4.166646420e-2f;
  p = p * r + 1.666666668e-1f;
  p = p * r + 5.000000014e-1f;
  p = p * (r * r) + r + 1.f;
  // 2^n in two factors: each is a normal number, their product may be subnormal or infinite.
  const int32_t whole = (int32_t)n, half = whole >> 1;
  return p * from_bits((uint32_t)(half + 127) << 23) * from_bits((uint32_t)(whole - half + 127) << 23);
}
static inline double exp_(double x) { return std::exp(x); }

static inline float sigmoid_(float x) { return 1.f / (1.f + exp_(-x)); }
static inline double sigmoid_(double x) { return 1. / (1. + std::exp(-x)); }

// An odd polynomial near zero, which is accurate there.
static inline float tanh_(float x) {
  const float a = std::fabs(x), s = x * x;
  float p = -6.094554966e-3f;
  p = p * s + 2.099569449e-2f;
  p = p * s - 5.385059658e-2f;
  p = p * s + 1.333276768e-1f;
  p = p * s - 3.333332892e-1f;
  const float small = p * s * x + x;
  const float large = std::copysign(1.f - 2.f / (exp_(2.f * a) + 1.f), x);
  return a < 0.625f ? small : (x != x ? x : large);
}
static inline double tanh_(double x) { return std::tanh(x); }

// ln x = e ln 2 + ln (1 + f) with x = 2^e (1 + f).
static inline float log_(float x) {
  const float normal = x < 1.17549435e-38f ? x * 16777216.f : x;
  const uint32_t bits = to_bits(normal) - 0x3f3504f3u;
  const float e = (float)((int32_t)bits >> 23) - (x < 1.17549435e-38f ? 24.f : 0.f);
  const float f = from_bits((bits & 0x007fffffu) + 0x3f3504f3u) - 1.f;
  float p = 6.971611471e-2f;
  p = p * f - 1.147973385e-1f;
  p = p * f + 1.168541992e-1f;
  p = p * f - 1.242568733e-1f;
  p = p * f + 1.424905765e-1f;
  p = p * f - 1.666780232e-1f;
  p = p * f + 2.000071575e-1f;
  p = p * f - 2.499999696e-1f;
  p = p * f + 3.333333118e-1f;
  const float s = f * f;
  const float y = e * 0.693359375f + (f + (p * f * s - 0.5f * s - e * 2.12194440e-4f));
  return x > 0.f ? (x <= 3.40282347e38f ? y : x) : (x == 0.f ? -INFINITY : NAN);
}
static inline double log_(double x) { return std::log(x); }

// With u = 1 + x rounded, ln u x / (u - 1) corrects the rounding error (Kahan).
static inline float log1p_(float x) {
  const float u = 1.f + x, d = u - 1.f;
  const float y = log_(u) * (x / (d == 0.f ? 1.f : d));
  return d == 0.f ? x : (u <= 3.40282347e38f ? y : u);
}
static inline double log1p_(double x) { return std::log1p(x); }

template <class S>
static inline S relu_(S x) { return x < S(0) ? S(0) : x; }
template <class S>
static inline S sign_(S x) { return S(x > S(0)) - S(x < S(0)); }
template <class S>
static inline S larger_(S a, S b) { return (a > b || a != a) ? a : b; }
template <class S>
static inline S smaller_(S a, S b) { return (a < b || a != a) ? a : b; }

// The row of a table for an id; one that is out of range has the first or the last row.
static inline int64_t row_(int64_t id, int64_t rows) { return id < 0 ? 0 : (id < rows ? id : rows - 1); }
