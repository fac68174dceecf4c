// auth/go_sort.h
//
// Sorts as Go's sort.Sort does since Go 1.20: the same order of elements that are equal. It is not
// stable, and etcd sorts a role's permissions by their keys alone with it, so the order in which
// those with one key are stored follows from its steps: pattern-defeating quicksort, insertion of
// up to 12, and a fixed generator against patterns.
//
// Threads: a pure function of what `less` and `swap` work on.

#pragma once

#include <algorithm>
#include <bit>
#include <cstdint>
#include <utility>

namespace keelson::auth {

// less(i, j): whether element i is before j. swap(i, j) exchanges them. Elements are 0 … n - 1.
template <typename Less, typename Swap>
class GoSorter {
 public:
  GoSorter(Less less, Swap swap) : less_(std::move(less)), swap_(std::move(swap)) {}

  // Elements begin … end - 1; `patience`: how many bad pivots it puts up with.
  void sort(int begin, int end, int patience) {
    bool was_balanced = true, was_partitioned = true;
    while (end - begin > kMostInserted) {
      const int length = end - begin;
      if (patience == 0) return heap_sort(begin, end);
      if (!was_balanced) {
        break_patterns(begin, end);
        --patience;
      }
      auto [pivot, swaps] = choose_pivot(begin, end);
      if (swaps == kAllSwaps) {
        for (int i = begin, j = end - 1; i < j; ++i, --j) swap_(i, j);
        pivot = end - 1 - (pivot - begin);
      }
      const bool looks_sorted = swaps == 0 || swaps == kAllSwaps;
      if (was_balanced && was_partitioned && looks_sorted && insert_few(begin, end)) return;
      if (begin > 0 && !less_(begin - 1, pivot)) {
        begin = part_equal(begin, end, pivot);
        continue;
      }
      const int middle = part(begin, end, pivot, &was_partitioned);
      const int left = middle - begin, right = end - middle;
      was_balanced = std::min(left, right) >= length / 8;
      if (left < right) {
        sort(begin, middle, patience);
        begin = middle + 1;
      } else {
        sort(middle + 1, end, patience);
        end = middle;
      }
    }
    insert_all(begin, end);
  }

 private:
  static constexpr int kMostInserted = 12;
  static constexpr int kFewest = 50;  // that are worth nine samples, or shifting
  static constexpr int kAllSwaps = 12;

  void insert_all(int begin, int end) {
    for (int i = begin + 1; i < end; ++i) {
      for (int j = i; j > begin && less_(j, j - 1); --j) swap_(j, j - 1);
    }
  }

  // True when it is sorted now.
  bool insert_few(int begin, int end) {
    int i = begin + 1;
    for (int step = 0; step < 5; ++step) {
      while (i < end && !less_(i, i - 1)) ++i;
      if (i == end) return true;
      if (end - begin < kFewest) return false;
      swap_(i, i - 1);
      if (i - begin >= 2) {
        for (int j = i - 1; j >= 1 && less_(j, j - 1); --j) swap_(j, j - 1);
      }
      if (end - i >= 2) {
        for (int j = i + 1; j < end && less_(j, j - 1); ++j) swap_(j, j - 1);
      }
    }
    return false;
  }

  void order(int* a, int* b, int* swaps) const {
    if (!less_(*b, *a)) return;
    ++*swaps;
    std::swap(*a, *b);
  }
  int median(int a, int b, int c, int* swaps) const {
    order(&a, &b, swaps);
    order(&b, &c, swaps);
    order(&a, &b, swaps);
    return b;
  }
  std::pair<int, int> choose_pivot(int begin, int end) const {
    const int quarter = (end - begin) / 4;
    int i = begin + quarter, j = begin + quarter * 2, k = begin + quarter * 3, swaps = 0;
    if (end - begin >= kFewest) {
      i = median(i - 1, i, i + 1, &swaps);
      j = median(j - 1, j, j + 1, &swaps);
      k = median(k - 1, k, k + 1, &swaps);
    }
    j = median(i, j, k, &swaps);
    return {j, swaps};
  }

  // Moves what is before the pivot to the front; returns the pivot's place.
  int part(int begin, int end, int pivot, bool* was_partitioned) {
    swap_(begin, pivot);
    int i = begin + 1, j = end - 1;
    *was_partitioned = true;
    for (;; ++i, --j) {
      while (i <= j && less_(i, begin)) ++i;
      while (i <= j && !less_(j, begin)) --j;
      if (i > j) break;
      *was_partitioned = false;
      swap_(i, j);
    }
    swap_(j, begin);
    return j;
  }
  // Moves what equals the pivot to the front; returns where the rest begins.
  int part_equal(int begin, int end, int pivot) {
    swap_(begin, pivot);
    int i = begin + 1, j = end - 1;
    for (;; ++i, --j) {
      while (i <= j && !less_(begin, i)) ++i;
      while (i <= j && less_(begin, j)) --j;
      if (i > j) return i;
      swap_(i, j);
    }
  }

  void break_patterns(int begin, int end) {
    const auto length = static_cast<uint64_t>(end - begin);
    const uint64_t mask = (uint64_t{1} << std::bit_width(length)) - 1;
    const int at = begin + (end - begin) / 4 * 2;
    uint64_t random = length;
    for (int i = 0; i < 3; ++i) {
      random ^= random << 13;
      random ^= random >> 7;
      random ^= random << 17;
      uint64_t other = random & mask;
      if (other >= length) other -= length;
      swap_(at - 1 + i, begin + static_cast<int>(other));
    }
  }

  void sift_down(int root, int size, int first) {
    for (int child = 2 * root + 1; child < size; child = 2 * root + 1) {
      if (child + 1 < size && less_(first + child, first + child + 1)) ++child;
      if (!less_(first + root, first + child)) return;
      swap_(first + root, first + child);
      root = child;
    }
  }
  void heap_sort(int begin, int end) {
    const int size = end - begin;
    for (int i = (size - 1) / 2; i >= 0; --i) sift_down(i, size, begin);
    for (int i = size - 1; i >= 0; --i) {
      swap_(begin, begin + i);
      sift_down(0, i, begin);
    }
  }

  Less less_;
  Swap swap_;
};

template <typename Less, typename Swap>
void go_sort(int n, Less less, Swap swap) {
  const int patience = std::bit_width(static_cast<unsigned>(n));
  GoSorter<Less, Swap>(std::move(less), std::move(swap)).sort(0, n, patience);
}

}  // namespace keelson::auth
