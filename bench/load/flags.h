// bench/load/flags.h
//
// Flags: `--name value` and `--name=value` (and `--name` alone for true) of the load generator.
// Errors: an unknown, malformed or doubled flag ends the program with a message.

#pragma once

#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <vector>

namespace keelson::bench {

class Flags {
 public:
  Flags(int argc, char** argv, int first);

  std::string text(const std::string& name, const std::string& otherwise);
  // What stands between commas.
  std::vector<std::string> list(const std::string& name, const std::string& otherwise);
  double number(const std::string& name, double otherwise);
  uint64_t whole(const std::string& name, uint64_t otherwise);
  bool is_set(const std::string& name);
  // Call when all were read: names left over are unknown ones.
  void check_all_used() const;

 private:
  const std::string* find(const std::string& name);

  std::map<std::string, std::string> given_;
  std::set<std::string> used_;
};

}  // namespace keelson::bench
