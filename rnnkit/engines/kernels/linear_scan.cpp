// h_t = a_t h_{t-1} + b_t and its gradients: one pass over memory each, sequential in time, vectorized over features.
// Here, a row has the features of one sequence at one step; complex numbers are pairs, and lengths count both parts.

#include <algorithm>
#include <cstring>

namespace {

template <class T> struct Rows {
    T *data;
    long row, step;
    T *at(long b, long t) const { return data + b * row + t * step; }
};

struct Real {
    static constexpr long width = 1;

    template <class T> static void forward(const T *a, const T *b, const T *before, T *h, long n) {
#pragma omp simd
        for (long j = 0; j < n; ++j) h[j] = a[j] * before[j] + b[j];
    }

    // On entry, carry is the gradient of h_t from later steps; on exit, that of h_{t-1}.
    template <bool sums, class T>
    static void backward(const T *a, const T *before, const T *g, T *carry, T *da, T *db, long n) {
#pragma omp simd
        for (long j = 0; j < n; ++j) {
            const T whole = g[j] + carry[j];
            db[j] = whole;
            da[j] = whole * before[j] + (sums ? da[j] : T(0));
            carry[j] = whole * a[j];
        }
    }
};

struct Complex {
    static constexpr long width = 2;

    template <class T> static void forward(const T *a, const T *b, const T *before, T *h, long n) {
#pragma omp simd
        for (long j = 0; j < n; j += 2) {
            const T re = before[j], im = before[j + 1];
            h[j] = a[j] * re - a[j + 1] * im + b[j];
            h[j + 1] = a[j] * im + a[j + 1] * re + b[j + 1];
        }
    }

    // Gradients are multiplied by the conjugates.
    template <bool sums, class T>
    static void backward(const T *a, const T *before, const T *g, T *carry, T *da, T *db, long n) {
#pragma omp simd
        for (long j = 0; j < n; j += 2) {
            const T re = g[j] + carry[j], im = g[j + 1] + carry[j + 1];
            db[j] = re;
            db[j + 1] = im;
            da[j] = re * before[j] + im * before[j + 1] + (sums ? da[j] : T(0));
            da[j + 1] = im * before[j] - re * before[j + 1] + (sums ? da[j + 1] : T(0));
            carry[j] = re * a[j] + im * a[j + 1];
            carry[j + 1] = im * a[j] - re * a[j + 1];
        }
    }
};

// Threads take whole sequences, or blocks of cache lines if there are too few sequences.
template <class Work> void in_blocks(long rows, long n, long threads, Work work) {
    if (rows == 0) return;
    const long wanted = std::min((threads + rows - 1) / rows, (n + 63) / 64);
    const long size = ((n + wanted - 1) / wanted + 63) / 64 * 64;
    const long blocks = (n + size - 1) / size;
#pragma omp parallel for collapse(2) num_threads(threads)
    for (long b = 0; b < rows; ++b)
        for (long block = 0; block < blocks; ++block) work(b, block * size, std::min(size, n - block * size));
}

template <class Number, class T>
void forward(Rows<const T> a, Rows<const T> b, Rows<const T> h0, const bool *fresh, Rows<T> h, long rows, long steps,
             long features, long reverse, long threads) {
    in_blocks(rows, features * Number::width, threads, [&](long row, long start, long n) {
        const T *before = h0.at(row, 0) + start;
        for (long i = 0; i < steps; ++i) {
            const long t = reverse ? steps - 1 - i : i;
            T *now = h.at(row, t) + start;
            if (fresh && fresh[row * steps + t])
                std::memcpy(now, b.at(row, t) + start, n * sizeof(T));
            else
                Number::forward(a.at(row, t) + start, b.at(row, t) + start, before, now, n);
            before = now;
        }
    });
}

// dh0 is the gradient that is carried back in time. With sums, da has one row for each sequence.
template <class Number, bool sums, class T>
void backward(Rows<const T> a, Rows<const T> h, Rows<const T> h0, const bool *fresh, Rows<const T> g, Rows<T> da,
              Rows<T> db, Rows<T> dh0, long rows, long steps, long features, long reverse, long threads) {
    in_blocks(rows, features * Number::width, threads, [&](long row, long start, long n) {
        T *carry = dh0.at(row, 0) + start;
        for (long i = steps - 1; i >= 0; --i) {
            const long t = reverse ? steps - 1 - i : i;
            T *db_t = db.at(row, t) + start, *da_t = da.at(row, t) + start;
            if (fresh && fresh[row * steps + t]) {
                const T *g_t = g.at(row, t) + start;
                for (long j = 0; j < n; ++j) db_t[j] = g_t[j] + carry[j];
                if (!sums) std::fill_n(da_t, n, T(0));
                std::fill_n(carry, n, T(0));
            } else {
                const T *before = i ? h.at(row, reverse ? t + 1 : t - 1) : h0.at(row, 0);
                Number::template backward<sums>(a.at(row, t) + start, before + start, g.at(row, t) + start, carry,
                                                da_t, db_t, n);
            }
        }
    });
}

}  // namespace

#define INTERFACE(name, Number, T)                                                                                    \
    extern "C" void forward_##name(Rows<const T> a, Rows<const T> b, Rows<const T> h0, const bool *fresh, Rows<T> h,  \
                                   long rows, long steps, long features, long reverse, long threads) {               \
        forward<Number, T>(a, b, h0, fresh, h, rows, steps, features, reverse, threads);                             \
    }                                                                                                                 \
    extern "C" void backward_##name(Rows<const T> a, Rows<const T> h, Rows<const T> h0, const bool *fresh,            \
                                    Rows<const T> g, Rows<T> da, Rows<T> db, Rows<T> dh0, long rows, long steps,     \
                                    long features, long reverse, long threads) {                                      \
        auto run = da.step ? backward<Number, false, T> : backward<Number, true, T>;                                  \
        run(a, h, h0, fresh, g, da, db, dh0, rows, steps, features, reverse, threads);                               \
    }

INTERFACE(float32, Real, float)
INTERFACE(float64, Real, double)
INTERFACE(complex64, Complex, float)
INTERFACE(complex128, Complex, double)
