// tests/harness/gtest_main.h
//
// The main() of a GoogleTest program that starts others.
//
// Threads: the main one.

#pragma once

#include <gtest/gtest.h>

#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

namespace keelson::harness {

// A program that the test is told of by "--name path".
struct Program {
  std::string_view name;
  std::string* path;  // made absolute
};

// The exit status; 2: one of them was not named.
inline int run_all_tests(int argc, char** argv, const std::vector<Program>& programs) {
  testing::InitGoogleTest(&argc, argv);
  for (const Program& program : programs) {
    for (int i = 1; i + 1 < argc; ++i) {
      if (argv[i] == "--" + std::string(program.name)) *program.path = argv[i + 1];
    }
    if (program.path->empty()) return 2;
    *program.path = std::filesystem::absolute(*program.path);
  }
  return RUN_ALL_TESTS();
}

}  // namespace keelson::harness
