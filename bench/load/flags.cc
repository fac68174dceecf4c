#include "load/flags.h"

#include <cstdlib>
#include <string_view>

#include "load/poller.h"

namespace keelson::bench {

Flags::Flags(int argc, char** argv, int first) {
  for (int i = first; i < argc; ++i) {
    std::string_view argument = argv[i];
    if (!argument.starts_with("--")) fail("flags begin with --", argv[i]);
    argument.remove_prefix(2);
    size_t equals = argument.find('=');
    std::string name(argument.substr(0, equals));
    std::string value = "true";
    if (equals != std::string_view::npos) {
      value = argument.substr(equals + 1);
    } else if (i + 1 < argc && !std::string_view(argv[i + 1]).starts_with("--")) {
      value = argv[++i];
    }
    if (!given_.emplace(name, value).second) fail("given twice", name.c_str());
  }
}

const std::string* Flags::find(const std::string& name) {
  used_.insert(name);
  auto it = given_.find(name);
  return it == given_.end() ? nullptr : &it->second;
}

std::string Flags::text(const std::string& name, const std::string& otherwise) {
  const std::string* value = find(name);
  return value ? *value : otherwise;
}

std::vector<std::string> Flags::list(const std::string& name, const std::string& otherwise) {
  std::vector<std::string> out;
  std::string rest = text(name, otherwise);
  while (!rest.empty()) {
    const size_t comma = rest.find(',');
    out.push_back(rest.substr(0, comma));
    rest = comma == std::string::npos ? "" : rest.substr(comma + 1);
  }
  return out;
}

double Flags::number(const std::string& name, double otherwise) {
  const std::string* value = find(name);
  if (!value) return otherwise;
  char* end = nullptr;
  double number = std::strtod(value->c_str(), &end);
  if (end == value->c_str() || *end != '\0' || !(number >= 0)) {
    fail("not a number", (name + "=" + *value).c_str());
  }
  return number;
}

uint64_t Flags::whole(const std::string& name, uint64_t otherwise) {
  return static_cast<uint64_t>(number(name, static_cast<double>(otherwise)));
}

bool Flags::is_set(const std::string& name) {
  const std::string* value = find(name);
  return value && *value != "false";
}

void Flags::check_all_used() const {
  for (const auto& [name, value] : given_) {
    if (!used_.contains(name)) fail("unknown flag", name.c_str());
  }
}

}  // namespace keelson::bench
