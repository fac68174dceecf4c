// base/scenario.h
//
// Scenario files: tests as scripts. A file is comments (#…), blank lines and blocks:
//
//   put k=color v=red       one or more commands, a name and words or name=value each
//   ----
//   rev=2                   everything the commands printed, up to a blank line
//
// run_scenario() gives each command to `handler`, gathers what it returns, and compares. With
// KEELSON_REWRITE=1 in the environment it writes the real output into the file instead; the diff is
// then reviewed like code. In words, \0, \s (space), \\ and \xHH are escapes.
//
// Threads: tests only; one caller at a time.

#pragma once

#include <cstdint>
#include <cstdlib>
#include <fstream>
#include <functional>
#include <sstream>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/text.h"

namespace keelson::scenario {

inline std::string unescape(std::string_view text) {
  std::string out;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '\\' || i + 1 == text.size()) {
      out += text[i];
      continue;
    }
    char kind = text[++i];
    if (kind == '0') out += '\0';
    if (kind == 's') out += ' ';
    if (kind == '\\') out += '\\';
    if (kind == 'x' && i + 2 < text.size()) {
      out += static_cast<char>(std::stoi(std::string(text.substr(i + 1, 2)), nullptr, 16));
      i += 2;
    }
  }
  return out;
}

struct Command {
  std::string name;
  std::vector<std::pair<std::string, std::string>> words;  // {"k", "color"}; bare: {"word", ""}

  bool has(std::string_view key) const { return find(key) != nullptr; }
  std::string text(std::string_view key, std::string_view otherwise = "") const {
    const std::string* value = find(key);
    return value ? *value : std::string(otherwise);
  }
  int64_t number(std::string_view key, int64_t otherwise = 0) const {
    const std::string* value = find(key);
    return value ? std::stoll(*value) : otherwise;
  }
  // The n-th word, for commands whose words have a fixed place.
  std::string word(size_t n) const { return n < words.size() ? words[n].first : ""; }

 private:
  const std::string* find(std::string_view key) const {
    for (const auto& [name, value] : words) {
      if (name == key) return &value;
    }
    return nullptr;
  }
};

inline Command parse_command(const std::string& line) {
  std::istringstream in(line);
  Command command;
  in >> command.name;
  for (std::string word; in >> word;) {
    size_t equals = word.find('=');
    if (equals == std::string::npos) {
      command.words.emplace_back(unescape(word), "");
    } else {
      command.words.emplace_back(word.substr(0, equals), unescape(word.substr(equals + 1)));
    }
  }
  return command;
}

// What a command prints: whole lines (a missing last newline is added).
using Handler = std::function<std::string(const Command&)>;

// Empty if the file holds; otherwise what differs, with line numbers.
inline std::string run_scenario(const std::string& path, const Handler& handler) {
  std::ifstream in(path);
  if (!in) return cat("cannot open ", path, "\n");
  std::string rewritten, wrong, commands, actual;
  std::vector<std::string> lines;
  for (std::string line; std::getline(in, line);) lines.push_back(line);

  for (size_t i = 0; i < lines.size(); ++i) {
    const std::string& line = lines[i];
    rewritten += line + "\n";
    if (line.empty() || line[0] == '#') continue;
    if (line != "----") {
      commands += line + "\n";
      std::string out = handler(parse_command(line));
      if (!out.empty() && out.back() != '\n') out += '\n';
      actual += out;
      continue;
    }
    std::string expected;
    size_t at = i + 2;
    while (i + 1 < lines.size() && !lines[i + 1].empty()) expected += lines[++i] + "\n";
    rewritten += actual;
    if (actual != expected) {
      wrong += cat(path, ":", at, ":\n", commands, "---- expected\n", expected, "---- got\n",
                   actual, "\n");
    }
    commands.clear();
    actual.clear();
  }
  if (!commands.empty()) wrong += cat(path, ": commands at the end without a ---- block\n");
  if (wrong.empty() || std::getenv("KEELSON_REWRITE") == nullptr) return wrong;
  std::ofstream(path) << rewritten;
  return "";
}

}  // namespace keelson::scenario
