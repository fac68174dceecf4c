// http/symbols.h
//
// Names of functions, from addresses in this process: of the program and of the libraries that it
// has loaded, as far as their files still say them.
//
// Threads: a value of its own; made from /proc/self/maps and from files, so not on a lane.

#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

namespace keelson::http {

class Symbols {
 public:
  struct Mapping {
    uint64_t start = 0, limit = 0;  // addresses: start <= a < limit
    uint64_t offset = 0;            // of `start` in the file
    std::string file;
  };

  // What is mapped to be executed, now.
  Symbols();
  ~Symbols();

  const std::vector<Mapping>& mappings() const { return mappings_; }
  // Its place among mappings(); SIZE_MAX if it is in none.
  size_t mapping_of(uint64_t address) const;
  // As the linker knows it ("_ZN7keelson…"); empty: no file says.
  std::string name_of(uint64_t address);

 private:
  class File;
  std::vector<Mapping> mappings_;  // by start
  std::map<std::string, std::unique_ptr<File>> files_;
};

// The name as it is written in C++.
std::string demangled(const std::string& name);

}  // namespace keelson::http
