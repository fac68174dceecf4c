#include "interchange/layout.h"

#include <algorithm>
#include <cctype>
#include <filesystem>
#include <vector>

#include "base/text.h"

namespace keelson::interchange {
namespace {

namespace fs = std::filesystem;

bool is_store_name(std::string_view name) {
  constexpr std::string_view kName = "keelson";
  if (!name.starts_with(kName)) return false;
  name.remove_prefix(kName.size());
  if (name.empty()) return true;
  return name.size() > 1 && name.front() == '.' &&
         std::all_of(name.begin() + 1, name.end(), [](unsigned char c) { return std::isdigit(c); });
}

}  // namespace

absl::StatusOr<std::string> only_store(const std::string& data_dir) {
  return only_store_in(member_dir(data_dir));
}

absl::StatusOr<std::string> only_store_in(const std::string& member_dir) {
  std::vector<std::string> found;
  std::error_code error;
  fs::directory_iterator at(member_dir, error), end;
  for (; !error && at != end; at.increment(error)) {
    std::error_code ignored;
    if (!is_store_name(at->path().filename().string())) continue;
    if (fs::exists(at->path() / "CURRENT", ignored)) found.push_back(at->path());
  }
  if (found.size() == 1) return found.front();
  if (found.empty()) {
    return absl::NotFoundError(cat("interchange: no store in ", member_dir));
  }
  return absl::FailedPreconditionError(
      cat("interchange: ", found.size(), " stores in ", member_dir,
          ": the member was stopped while it took over a snapshot; start it once more, it keeps "
          "the one that counts"));
}

}  // namespace keelson::interchange
