// ctl/grid.h
//
// Rows under a heading, as -w table draws them.
//
// Threads: values.

#pragma once

#include <iosfwd>
#include <string>
#include <vector>

namespace keelson::ctl {

struct Grid {
  std::vector<std::string> header;
  std::vector<std::vector<std::string>> rows;
};

// In a frame of lines; headings in capitals, centred, cells to the right.
void print_table(Grid grid, std::ostream& out);

}  // namespace keelson::ctl
