// c [M, N] = a [M, K] times b [K, N], a and b with any strides, c row by row.
// Blocks of b lie packed in panels of a few vectors, blocks of a in slivers of a few rows, both within the second cache;
// a tile of sums, sliver by panel, stays in registers (Goto and van de Geijn, 2008, doi:10.1145/1356052.1356053).
#include <algorithm>
#include <cstdlib>
#include <omp.h>

constexpr int SLIVER = 6;
constexpr long DEPTH = 384, HEIGHT = 144;

template <class S>
struct Tile {
  long depth;
  const S* a;
  long stride_m, stride_k;
  const S* b;
  S* c;
  long ldc;
  bool add;

  template <int VECTORS>
  void rows(int count) const {
    switch (count) {
      case 6: tile<S, 6, VECTORS>(depth, a, stride_m, stride_k, b, c, ldc, add); break;
      case 5: tile<S, 5, VECTORS>(depth, a, stride_m, stride_k, b, c, ldc, add); break;
      case 4: tile<S, 4, VECTORS>(depth, a, stride_m, stride_k, b, c, ldc, add); break;
      case 3: tile<S, 3, VECTORS>(depth, a, stride_m, stride_k, b, c, ldc, add); break;
      case 2: tile<S, 2, VECTORS>(depth, a, stride_m, stride_k, b, c, ldc, add); break;
      default: tile<S, 1, VECTORS>(depth, a, stride_m, stride_k, b, c, ldc, add);
    }
  }

  void operator()(int count, int vectors) const {
    switch (vectors) {
      case 4: if constexpr (PANEL >= 4) rows<4>(count); break;
      case 3: if constexpr (PANEL >= 4) rows<3>(count); break;
      case 2: rows<2>(count); break;
      default: rows<1>(count);
    }
  }
};

template <class S>
static S* room(long n) {
  return static_cast<S*>(std::aligned_alloc(64, (n * (long)sizeof(S) + 63) / 64 * 64));
}

// Columns from `first` on, at all depths, in `wide` columns side by side; beyond the last one there are zeros.
template <class S>
static void pack_panel(const S* b, long bk, long bn, long depth, long width, long wide, S* to) {
  if (bn == 1) {
    for (long k = 0; k < depth; ++k) {
      std::copy_n(b + k * bk, width, to + k * wide);
      std::fill(to + k * wide + width, to + (k + 1) * wide, S(0));
    }
  } else {
    for (long n = 0; n < wide; ++n)
      for (long k = 0; k < depth; ++k) to[k * wide + n] = n < width ? b[k * bk + n * bn] : S(0);
  }
}

template <class S>
static void pack_rows(const S* a, long am, long ak, long depth, long height, S* to) {
  if (am == 1) {
    for (long k = 0; k < depth; ++k) {
      long s = 0;
      for (; s + SLIVER <= height; s += SLIVER)
        for (long m = 0; m < SLIVER; ++m) to[s * depth + k * SLIVER + m] = a[s + m + k * ak];
      for (long m = s; m < height; ++m) to[s * depth + k * SLIVER + m - s] = a[m + k * ak];
    }
  } else {
    for (long s = 0; s < height; s += SLIVER)
      for (long m = s; m < std::min(height, s + SLIVER); ++m)
        for (long k = 0; k < depth; ++k) to[s * depth + k * SLIVER + m - s] = a[m * am + k * ak];
  }
}

template <class S>
static void matmul(long M, long N, long K, const S* a, long am, long ak, const S* b, long bk, long bn, S* c, long threads) {
  constexpr int L = Vector<S>::lanes;
  constexpr long wide = PANEL * L;
  const long panels = (N + wide - 1) / wide, slivers = (M + SLIVER - 1) / SLIVER;
  // Rows of a are read as they lie; where sums do not run along them, they are packed.
  const bool packs = ak != 1;
  S* const packed_b = room<S>(panels * wide * std::min(K, DEPTH));
#pragma omp parallel num_threads(threads)
  {
    const long thread = omp_get_thread_num(), count = omp_get_num_threads();
    const long lo = slivers * thread / count * SLIVER, hi = std::min(M, slivers * (thread + 1) / count * SLIVER);
    S* const packed_a = packs ? room<S>(HEIGHT * std::min(K, DEPTH)) : nullptr;
    S edge[SLIVER * wide];
    for (long k0 = 0; k0 < K; k0 += DEPTH) {
      const long depth = std::min(DEPTH, K - k0);
#pragma omp barrier
      if (bn == 1) {
        // Row by row, which is how b lies in memory.
        for (long k = depth * thread / count; k < depth * (thread + 1) / count; ++k)
          for (long p = 0; p < panels; ++p) {
            const long first = p * wide, width = std::min(wide, N - first), whole = (width + L - 1) / L * L;
            pack_panel(b + (k0 + k) * bk + first, bk, bn, 1, width, whole, packed_b + first * depth + k * whole);
          }
      } else {
        for (long p = thread; p < panels; p += count) {
          const long first = p * wide, width = std::min(wide, N - first);
          pack_panel(b + k0 * bk + first * bn, bk, bn, depth, width, (width + L - 1) / L * L, packed_b + first * depth);
        }
      }
#pragma omp barrier
      for (long m0 = lo; m0 < hi; m0 += HEIGHT) {
        const long height = std::min(HEIGHT, hi - m0);
        if (packs) pack_rows(a + m0 * am + k0 * ak, am, ak, depth, height, packed_a);
        for (long p = 0; p < panels; ++p) {
          const long first = p * wide, width = std::min(wide, N - first);
          const int vectors = (int)((width + L - 1) / L);
          for (long s = 0; s < height; s += SLIVER) {
            const int rows = (int)std::min<long>(SLIVER, height - s);
            S* const to = c + (m0 + s) * N + first;
            const S* const from = packs ? packed_a + s * depth : a + (m0 + s) * am + k0 * ak;
            Tile<S> whole{depth, from, packs ? 1 : am, packs ? SLIVER : ak, packed_b + first * depth, to, N, k0 > 0};
            if (width % L == 0) {
              whole(rows, vectors);
            } else {
              // The last vectors reach beyond c.
              whole.c = edge, whole.ldc = wide, whole.add = false;
              whole(rows, vectors);
              for (int m = 0; m < rows; ++m)
                for (long n = 0; n < width; ++n) to[m * N + n] = edge[m * wide + n] + (k0 > 0 ? to[m * N + n] : S(0));
            }
          }
        }
      }
    }
    std::free(packed_a);
  }
  std::free(packed_b);
}

extern "C" void matmul_float(long M, long N, long K, const float* a, long am, long ak, const float* b, long bk, long bn,
                             float* c, long threads) {
  matmul<float>(M, N, K, a, am, ak, b, bk, bn, c, threads);
}
extern "C" void matmul_double(long M, long N, long K, const double* a, long am, long ak, const double* b, long bk, long bn,
                              double* c, long threads) {
  matmul<double>(M, N, K, a, am, ak, b, bk, bn, c, threads);
}
