#include "tests/crash/corruption.h"

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <vector>

#include "base/text.h"

namespace keelson::crash {
namespace {

namespace fs = std::filesystem;

constexpr int kTriesForWrittenByte = 200;

// Files that a store keeps for people, or only to exist.
bool holds_no_data(const std::string& name) {
  return name.starts_with("LOG") || name.starts_with("OPTIONS") || name == "LOCK" ||
         name == "IDENTITY";
}

std::vector<std::string> files_of(const std::string& data_dir, Target target) {
  std::vector<std::string> out;
  for (const auto& entry : fs::recursive_directory_iterator(data_dir)) {
    if (!entry.is_regular_file() || entry.file_size() == 0) continue;
    const bool in_wal = entry.path().string().find("/wal/") != std::string::npos;
    const bool is_log = in_wal && entry.path().extension() == ".wal";
    const bool wanted = target == Target::kWal
                            ? is_log
                            : !in_wal && !holds_no_data(entry.path().filename().string());
    if (wanted) out.push_back(entry.path());
  }
  std::sort(out.begin(), out.end());
  return out;
}

}  // namespace

absl::StatusOr<std::string> corrupt_one_byte(const std::string& data_dir, Target target,
                                             Random* random) {
  const std::vector<std::string> files = files_of(data_dir, target);
  if (files.empty()) return absl::NotFoundError("no such files");
  const std::string& path = files[random->below(files.size())];
  std::fstream file(path, std::ios::in | std::ios::out | std::ios::binary);
  const uint64_t size = fs::file_size(path);
  uint64_t at = 0;
  char byte = 0;
  for (int i = 0; i < kTriesForWrittenByte && byte == 0; ++i) {
    at = random->below(size);
    file.seekg(static_cast<std::streamoff>(at));
    file.get(byte);
  }
  byte = static_cast<char>(byte ^ static_cast<char>(1 + random->below(255)));
  file.seekp(static_cast<std::streamoff>(at));
  file.put(byte);
  file.flush();
  if (!file) return absl::UnavailableError(cat("cannot change ", path));
  return cat(fs::path(path).filename().string(), " byte ", at, " of ", size);
}

}  // namespace keelson::crash
