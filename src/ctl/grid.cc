#include "ctl/grid.h"

#include <algorithm>
#include <cctype>
#include <cstdint>
#include <ostream>
#include <string_view>

namespace keelson::ctl {
namespace {

using Widths = std::vector<size_t>;

// Columns on the terminal: UTF-8 continuation bytes take no room.
size_t width_of(std::string_view text) {
  return static_cast<size_t>(std::count_if(
      text.begin(), text.end(), [](char c) { return (static_cast<uint8_t>(c) & 0xc0) != 0x80; }));
}

std::string repeat(std::string_view piece, size_t count) {
  std::string out;
  for (size_t i = 0; i < count; ++i) out += piece;
  return out;
}

std::string title(std::string text) {
  for (char& c : text) c = c == '_' ? ' ' : static_cast<char>(std::toupper(c));
  return text;
}

void rule(std::ostream& out, const Widths& widths, std::string_view left, std::string_view middle,
          std::string_view right) {
  for (size_t i = 0; i < widths.size(); ++i) {
    out << (i == 0 ? left : middle) << repeat("─", widths[i] + 2);
  }
  out << right << "\n";
}

// Headings are centred (the odd blank goes right), cells stand right.
void row(std::ostream& out, const Widths& widths, const std::vector<std::string>& cells,
         bool heading) {
  for (size_t i = 0; i < widths.size(); ++i) {
    size_t gap = widths[i] - width_of(cells[i]);
    size_t left = heading ? gap / 2 : gap;
    out << "│ " << std::string(left, ' ') << cells[i] << std::string(gap - left, ' ') << " ";
  }
  out << "│\n";
}

}  // namespace

void print_table(Grid grid, std::ostream& out) {
  for (std::string& heading : grid.header) heading = title(heading);
  Widths widths;
  for (size_t i = 0; i < grid.header.size(); ++i) {
    widths.push_back(width_of(grid.header[i]));
    for (const auto& cells : grid.rows) widths[i] = std::max(widths[i], width_of(cells[i]));
  }
  rule(out, widths, "┌", "┬", "┐");
  row(out, widths, grid.header, true);
  rule(out, widths, "├", "┼", "┤");
  for (const auto& cells : grid.rows) row(out, widths, cells, false);
  rule(out, widths, "└", "┴", "┘");
}

}  // namespace keelson::ctl
