// The runtime of single steps: products with weights that were packed once, in panels that do not depend on the
// processor. A panel has 256 bytes of columns, the last one as many lines of 64 bytes as it needs.

template <class S>
constexpr int line() {
  return 64 / sizeof(S);
}

// Columns [FROM, WIDTH) of a panel, in vectors, for ROWS rows: as many at once as the registers hold.
template <class S, int ROWS, int WIDTH, int FROM, int K>
static inline void columns(const S* a, long lda, const S* b, S* c, long ldc) {
  constexpr int L = Vector<S>::lanes;
  constexpr int most = ROWS == 1 ? 8 : PANEL, left = WIDTH - FROM, now = left < most ? left : most;
  if constexpr (left > 0) {
    tile<S, ROWS, now, WIDTH>(K, a, lda, 1, b + FROM * L, c + FROM * L, ldc, false);
    columns<S, ROWS, WIDTH, FROM + now, K>(a, lda, b, c, ldc);
  }
}

// All rows with one panel, which stays in the first cache; its weights are read once.
template <class S, int WIDTH, int K>
static void panel_of_step(long rows, const S* a, long lda, const S* b, S* c, long ldc) {
  constexpr int MOST = VECTOR_BYTES >= 32 ? 6 : 4;
  for (; rows >= MOST; rows -= MOST, a += MOST * lda, c += MOST * ldc) columns<S, MOST, WIDTH, 0, K>(a, lda, b, c, ldc);
  for (; rows >= 2; rows -= 2, a += 2 * lda, c += 2 * ldc) columns<S, 2, WIDTH, 0, K>(a, lda, b, c, ldc);
  if (rows) columns<S, 1, WIDTH, 0, K>(a, lda, b, c, ldc);
}

// c [rows, N] = a [rows, K] times packed weights; rows of c have space for whole lines.
template <class S, int N, int K>
static void product_of_step(long rows, const S* a, long lda, const S* packed, S* c, long ldc) {
  constexpr int L = line<S>(), wide = 4 * L, full = N / wide, rest = (N % wide + L - 1) / L;
  constexpr int vectors = 64 / VECTOR_BYTES;
  for (long p = 0; p < full; ++p)
    panel_of_step<S, 4 * vectors, K>(rows, a, lda, packed + p * K * wide, c + p * wide, ldc);
  if constexpr (rest > 0)
    panel_of_step<S, rest * vectors, K>(rows, a, lda, packed + (long)full * K * wide, c + full * wide, ldc);
}

// c [ROWS, COLUMNS] = a [ROWS, K] times COLUMNS rows of weights with contiguous K: sums of vectors, then over each vector.
template <class S, int ROWS, int COLUMNS, int K>
static inline __attribute__((always_inline)) void dots(const S* a, long lda, const S* w, long stride_n, S* c, long ldc) {
  typedef typename Vector<S>::type V;
  constexpr int L = Vector<S>::lanes, whole = K / L * L;
  V sum[ROWS][COLUMNS];
#pragma GCC unroll 8
  for (int m = 0; m < ROWS; ++m)
#pragma GCC unroll 8
    for (int n = 0; n < COLUMNS; ++n) sum[m][n] = V{};
  for (int k = 0; k < whole; k += L) {
    V column[COLUMNS];
#pragma GCC unroll 8
    for (int n = 0; n < COLUMNS; ++n) column[n] = *(const V*)(w + n * stride_n + k);
#pragma GCC unroll 8
    for (int m = 0; m < ROWS; ++m) {
      const V row = *(const V*)(a + m * lda + k);
#pragma GCC unroll 8
      for (int n = 0; n < COLUMNS; ++n) sum[m][n] += row * column[n];
    }
  }
#pragma GCC unroll 8
  for (int m = 0; m < ROWS; ++m)
#pragma GCC unroll 8
    for (int n = 0; n < COLUMNS; ++n) {
      S parts[L];
      *(V*)parts = sum[m][n];
#pragma GCC unroll 8
      for (int half = L / 2; half; half /= 2)
#pragma GCC unroll 8
        for (int l = 0; l < half; ++l) parts[l] += parts[l + half];
      S total = parts[0];
      for (int k = whole; k < K; ++k) total += a[m * lda + k] * w[n * stride_n + k];
      c[m * ldc + n] = total;
    }
}

template <class S, int COLUMNS, int K>
static void columns_in_place(long rows, const S* a, long lda, const S* w, long stride_n, S* c, long ldc) {
  for (; rows >= 3; rows -= 3, a += 3 * lda, c += 3 * ldc) dots<S, 3, COLUMNS, K>(a, lda, w, stride_n, c, ldc);
  for (; rows; --rows, a += lda, c += ldc) dots<S, 1, COLUMNS, K>(a, lda, w, stride_n, c, ldc);
}

// The same product with weights as they are stored, which are read once for all rows if K is contiguous.
template <class S, int N, int K>
static void product_in_place(long rows, const S* a, long lda, const S* w, long stride_k, long stride_n, S* c, long ldc) {
  if (stride_k == 1) {
    constexpr int whole = N / 4 * 4;
    for (int n = 0; n < whole; n += 4) columns_in_place<S, 4, K>(rows, a, lda, w + n * stride_n, stride_n, c + n, ldc);
    for (int n = whole; n < N; ++n) columns_in_place<S, 1, K>(rows, a, lda, w + n * stride_n, stride_n, c + n, ldc);
    return;
  }
  for (long m = 0; m < rows; ++m, a += lda, c += ldc) {
    for (int n = 0; n < N; ++n) c[n] = 0;
    for (int k = 0; k < K; ++k) {
      const S value = a[k];
      const S* const row = w + k * stride_k;
#pragma omp simd
      for (int n = 0; n < N; ++n) c[n] += value * row[n * stride_n];
    }
  }
}
