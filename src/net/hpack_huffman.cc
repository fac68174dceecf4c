#include "net/hpack_huffman.h"

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstring>

#include "base/endian.h"

namespace keelson::net {
namespace {

constexpr int kSymbols = 257;  // the bytes, and what ends a text
constexpr int kEnd = 256;
constexpr int kQuick = 12;  // one symbol, or two, up to so many bits, are found at once
constexpr int kLongest = 30;

// How long each one's code is. The code is canonical: by length, then by symbol, each is the one
// before and one more; so this is all of it.
constexpr std::array<uint8_t, kSymbols> kLengths = {
    13, 23, 28, 28, 28, 28, 28, 28, 28, 24, 30, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 30, 28,
    28, 28, 28, 28, 28, 28, 28, 28, 6,  10, 10, 12, 13, 6,  8,  11, 10, 10, 8,  11, 8,  6,  6,  6,
    5,  5,  5,  6,  6,  6,  6,  6,  6,  6,  7,  8,  15, 6,  12, 10, 13, 6,  7,  7,  7,  7,  7,  7,
    7,  7,  7,  7,  7,  7,  7,  7,  7,  7,  7,  7,  7,  7,  7,  7,  8,  7,  8,  13, 19, 13, 14, 6,
    15, 5,  6,  5,  6,  5,  6,  6,  6,  5,  7,  7,  6,  6,  6,  5,  6,  7,  6,  5,  5,  6,  7,  7,
    7,  7,  7,  15, 11, 14, 13, 28, 20, 22, 20, 20, 22, 22, 22, 23, 22, 23, 23, 23, 23, 23, 24, 23,
    24, 24, 22, 23, 24, 23, 23, 23, 23, 21, 22, 23, 22, 23, 23, 24, 22, 21, 20, 22, 22, 23, 23, 21,
    23, 22, 22, 24, 21, 22, 23, 23, 21, 21, 22, 21, 23, 22, 23, 23, 20, 22, 22, 22, 23, 22, 22, 23,
    26, 26, 20, 19, 22, 23, 22, 25, 26, 26, 26, 27, 27, 26, 24, 25, 19, 21, 26, 27, 27, 26, 27, 24,
    21, 21, 26, 26, 28, 27, 27, 27, 20, 24, 20, 21, 22, 21, 21, 23, 22, 22, 25, 25, 24, 24, 26, 23,
    26, 27, 26, 26, 27, 27, 27, 27, 27, 28, 27, 27, 27, 27, 27, 26, 30};

// What a window begins with.
struct Code {
  char symbols[2] = {};
  uint8_t length = 0;  // of their codes together
  uint8_t count = 0;   // 0: it is longer than this table
};

// The codes of one length, as the highest bits of 32.
struct Row {
  uint64_t first = 0;
  uint64_t end = 0;  // of the next row the first
  uint16_t at = 0;   // in `order`
};

struct Tables {
  std::array<Code, 1 << kQuick> quick;
  std::array<Row, kLongest + 1> rows;  // by length
  std::array<uint16_t, kSymbols> order;
};

// The codes in their order, and where those of each length begin.
constexpr void fill_rows(Tables* out) {
  uint64_t next = 0;
  uint16_t count = 0;
  for (int length = 1; length <= kLongest; ++length) {
    Row& row = out->rows[static_cast<size_t>(length)];
    row = {next, next, count};
    for (int symbol = 0; symbol < kSymbols; ++symbol) {
      if (kLengths[static_cast<size_t>(symbol)] != length) continue;
      out->order[count++] = static_cast<uint16_t>(symbol);
      row.end += uint64_t{1} << (32 - length);
    }
    next = row.end;
  }
}

// A code that `bits`, the highest of 32, begin with; its symbol may be kEnd.
constexpr int find_code(const Tables& tables, uint64_t bits, int* length) {
  int n = 1;
  while (bits >= tables.rows[static_cast<size_t>(n)].end) ++n;
  const Row& row = tables.rows[static_cast<size_t>(n)];
  *length = n;
  return tables.order[row.at + static_cast<size_t>((bits - row.first) >> (32 - n))];
}

constexpr Tables make_tables() {
  Tables out{};
  fill_rows(&out);
  for (uint64_t i = 0; i < out.quick.size(); ++i) {
    Code& code = out.quick[static_cast<size_t>(i)];
    uint64_t bits = i << (32 - kQuick);
    while (code.count < 2) {
      int length = 0;
      const int symbol = find_code(out, bits, &length);
      if (code.length + length > kQuick) break;
      code.symbols[code.count++] = static_cast<char>(symbol);
      code.length = static_cast<uint8_t>(code.length + length);
      bits = bits << length & 0xffffffff;
    }
  }
  return out;
}

constexpr Tables kTables = make_tables();
static_assert(kTables.rows[kLongest].end == uint64_t{1} << 32, "every row of bits is some code");

uint64_t bits_at(const char* in, size_t bytes) {
  if (bytes >= 8) return load_big64(in);
  char eight[8] = {};
  std::memcpy(eight, in, bytes);
  return load_big64(eight);
}

}  // namespace

std::optional<size_t> decode_huffman(std::string_view coded, char* out) {
  char* const start = out;
  const char* const begin = coded.data();
  const char* const end = begin + coded.size();
  const char* in = begin;
  uint64_t window = 0;  // what comes next, from its highest bit on …
  int have = 0;         // … of which so many bits are there
  // While any code is whole.
  while (true) {
    // Those beyond what counts are taken once more with the next ones: they are the same.
    const auto left = static_cast<size_t>(end - in);
    const bool from_behind = left < 8 && coded.size() >= 8;
    const uint64_t more =
        from_behind && left > 0 ? load_big64(end - 8) << (64 - 8 * left) : bits_at(in, left);
    window |= more >> have;
    const size_t bytes = std::min(left, static_cast<size_t>(63 - have) >> 3);
    in += bytes;
    have += static_cast<int>(8 * bytes);
    if (have < kLongest) break;
    do {
      const Code& code = kTables.quick[window >> (64 - kQuick)];
      int length = code.length;
      if (code.count > 0) {
        std::memcpy(out, code.symbols, 2);
        out += code.count;
      } else {
        const int symbol = find_code(kTables, window >> 32, &length);
        if (symbol == kEnd) return std::nullopt;
        *out++ = static_cast<char>(symbol);
      }
      window <<= length;
      have -= length;
    } while (have >= kLongest);
  }
  // The last ones, one by one, and the padding: less than a byte, all ones.
  while (have > 0) {
    const Code& code = kTables.quick[window >> (64 - kQuick)];
    int symbol = static_cast<uint8_t>(code.symbols[0]);
    int length = kLengths[static_cast<size_t>(symbol)];
    if (code.count == 0) symbol = find_code(kTables, window >> 32, &length);
    if (length > have) {
      if (have >= 8 || ~window >> (64 - have) != 0) return std::nullopt;
      break;
    }
    *out++ = static_cast<char>(symbol);
    window <<= length;
    have -= length;
  }
  return static_cast<size_t>(out - start);
}

}  // namespace keelson::net
