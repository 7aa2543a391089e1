// c [M, N] = a [M, K] times b [K, N], a and b with any strides, c row by row.
// Blocks of b are packed in panels of a few vectors, blocks of a in slivers of a few rows, both in the L2 cache;
// a tile of sums, sliver by panel, is in registers (Goto and van de Geijn, 2008, doi:10.1145/1356052.1356053).
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

// The range of n items for one of several threads.
struct Share {
  long begin, end;
  Share(long n, long thread, long count) : begin(n * thread / count), end(n * (thread + 1) / count) {}
};

// Packs panels of b, each with contiguous columns at every depth and a stride of `apart`; columns beyond the last are zero.
template <class S>
static void pack_panels(const S* b, long bk, long bn, long N, Share panels, Share depths, S* to, long apart) {
  constexpr long L = Vector<S>::lanes, most = PANEL * L;
  const auto pack = [&](long p, long k_begin, long k_end) {
    const long first = p * most, width = std::min(most, N - first), wide = (width + L - 1) / L * L;
    S* const panel = to + first * apart;
    if (bn == 1) {
      for (long k = k_begin; k < k_end; ++k) {
        std::copy_n(b + k * bk + first, width, panel + k * wide);
        std::fill(panel + k * wide + width, panel + (k + 1) * wide, S(0));
      }
    } else {
      for (long n = 0; n < wide; ++n)
        for (long k = k_begin; k < k_end; ++k) panel[k * wide + n] = n < width ? b[k * bk + (first + n) * bn] : S(0);
    }
  };
  if (bn == 1) {
    // Row by row, in the memory order of b.
    for (long k = depths.begin; k < depths.end; ++k)
      for (long p = panels.begin; p < panels.end; ++p) pack(p, k, k + 1);
  } else {
    for (long p = panels.begin; p < panels.end; ++p) pack(p, depths.begin, depths.end);
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
  // Rows of a are read in place if they are contiguous along the sums, and packed otherwise.
  const bool packs = ak != 1;
  const long apart = std::min(K, DEPTH);
  S* const packed_b = room<S>(panels * wide * apart);
#pragma omp parallel num_threads(threads)
  {
    const long thread = omp_get_thread_num(), count = omp_get_num_threads();
    // Threads share the rows of c and the packed panels of b. Long sums need many blocks of b, and as many barriers:
    // there each thread takes columns and packs its own panels.
    const bool alone = K > DEPTH && M <= N && panels >= count;
    const Share all_panels(panels, 0, 1), own_panels(panels, thread, count);
    const Share columns = alone ? own_panels : all_panels, own(slivers, alone ? 0 : thread, alone ? 1 : count);
    const long lo = own.begin * SLIVER, hi = std::min(M, own.end * SLIVER);
    S* const packed_a = packs ? room<S>(HEIGHT * apart) : nullptr;
    S edge[SLIVER * wide];
    for (long k0 = 0; k0 < K; k0 += DEPTH) {
      const long depth = std::min(DEPTH, K - k0);
      const bool splits_depth = !alone && bn == 1;
      if (!alone) {
#pragma omp barrier
      }
      pack_panels(b + k0 * bk, bk, bn, N, splits_depth ? all_panels : own_panels,
                  splits_depth ? Share(depth, thread, count) : Share(depth, 0, 1), packed_b, apart);
      if (!alone) {
#pragma omp barrier
      }
      for (long m0 = lo; m0 < hi; m0 += HEIGHT) {
        const long height = std::min(HEIGHT, hi - m0);
        if (packs) pack_rows(a + m0 * am + k0 * ak, am, ak, depth, height, packed_a);
        for (long p = columns.begin; p < columns.end; ++p) {
          const long first = p * wide, width = std::min(wide, N - first);
          const int vectors = (int)((width + L - 1) / L);
          for (long s = 0; s < height; s += SLIVER) {
            const int rows = (int)std::min<long>(SLIVER, height - s);
            S* const to = c + (m0 + s) * N + first;
            const S* const from = packs ? packed_a + s * depth : a + (m0 + s) * am + k0 * ak;
            Tile<S> whole{depth, from, packs ? 1 : am, packs ? SLIVER : ak, packed_b + first * apart, to, N, k0 > 0};
            if (width % L == 0) {
              whole(rows, vectors);
            } else {
              // The last vectors extend beyond c.
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
