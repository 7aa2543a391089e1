// The runtime of generated time loops: products with weights that each call packs.
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <omp.h>

template <class S>
constexpr long padded(long n) {
  return (n + Vector<S>::lanes - 1) / Vector<S>::lanes * Vector<S>::lanes;
}

constexpr int MOST_ROWS = VECTOR_BYTES == 64 ? 6 : 4;

// Scratch memory of one call, freed at its end.
template <class S>
struct Scratch {
  S* data;
  explicit Scratch(long n) {
    // Extra space, because a product writes whole vectors beyond its last column.
    long bytes = (padded<S>(n) + Vector<S>::lanes) * (long)sizeof(S);
    data = static_cast<S*>(std::aligned_alloc(64, (bytes + 63) / 64 * 64));
  }
  ~Scratch() { std::free(data); }
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;
};

// Packs weights [K, N] with any strides into panels that a product reads sequentially.
template <class S, int N, int K>
constexpr long packed_size() {
  return padded<S>(N) * K;
}

template <class S, int N, int K>
static void pack(const S* w, long stride_k, long stride_n, S* out, int thread, int threads) {
  constexpr int L = Vector<S>::lanes, wide = PANEL * L;
  constexpr long columns = padded<S>(N), panels = (columns + wide - 1) / wide;
  for (long p = thread; p < panels; p += threads) {
    const long first = p * wide, width = std::min<long>(wide, columns - first);
    S* to = out + first * K;
    for (int k = 0; k < K; ++k)
      for (long n = 0; n < width; ++n) to[k * width + n] = first + n < N ? w[k * stride_k + (first + n) * stride_n] : S(0);
  }
}

template <class S, int VECTORS, int K>
static void panel(int rows, const S* a, long lda, const S* b, S* c, long ldc) {
  const int blocks = (rows + MOST_ROWS - 1) / MOST_ROWS;
  for (int i = 0; i < blocks; ++i) {
    const int m = (rows + blocks - 1 - i) / (blocks - i);
    switch (m) {
      case 6: if constexpr (MOST_ROWS >= 6) tile<S, 6, VECTORS>(K, a, lda, 1, b, c, ldc, false); break;
      case 5: if constexpr (MOST_ROWS >= 5) tile<S, 5, VECTORS>(K, a, lda, 1, b, c, ldc, false); break;
      case 4: tile<S, 4, VECTORS>(K, a, lda, 1, b, c, ldc, false); break;
      case 3: tile<S, 3, VECTORS>(K, a, lda, 1, b, c, ldc, false); break;
      case 2: tile<S, 2, VECTORS>(K, a, lda, 1, b, c, ldc, false); break;
      default: tile<S, 1, VECTORS>(K, a, lda, 1, b, c, ldc, false); break;
    }
    a += m * lda;
    c += m * ldc;
    rows -= m;
  }
}

// c [rows, N] = a [rows, K] times packed weights; rows of c have space for whole vectors.
template <class S, int N, int K>
static void product(int rows, const S* a, long lda, const S* packed, S* c, long ldc) {
  constexpr int L = Vector<S>::lanes;
  constexpr int vectors = padded<S>(N) / L, full = vectors / PANEL, rest = vectors % PANEL;
  for (int p = 0; p < full; ++p) panel<S, PANEL, K>(rows, a, lda, packed + (long)p * K * PANEL * L, c + p * PANEL * L, ldc);
  if constexpr (rest > 0) panel<S, rest, K>(rows, a, lda, packed + (long)full * K * PANEL * L, c + full * PANEL * L, ldc);
}
