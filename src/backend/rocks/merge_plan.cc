#include "backend/rocks/merge_plan.h"

#include <algorithm>

#include "base/check.h"

namespace keelson::backend::rocks {
namespace {

constexpr uint64_t kShare = 20;

int last_level(const Levels& levels) {
  int last = static_cast<int>(levels.size()) - 1;
  while (last > 0 && levels[static_cast<size_t>(last)].empty()) --last;
  return last;
}

// Whether `other` lies above files[at]: above its keys, or in the gap behind it (or before the
// first), so that every file lies above some file.
bool lies_above(const TableFile& other, const std::vector<TableFile>& files, size_t at) {
  if (at > 0 && other.largest < files[at].smallest) return false;
  return at + 1 == files.size() || other.smallest < files[at + 1].smallest;
}

// What one file of the last level makes a step of: itself, and what lies above it.
struct Column {
  std::vector<const TableFile*> files;
  uint64_t bytes = 0, deletions = 0, entries = 0;

  void add(const TableFile& file) {
    if (std::find(files.begin(), files.end(), &file) != files.end()) return;
    files.push_back(&file);
    bytes += file.bytes;
    deletions += file.deletions;
    entries += file.entries;
  }
};

}  // namespace

bool MergePlan::worth_it(uint64_t deletions, uint64_t entries) const {
  CHECK(deletions <= entries);
  return deletions > 0 && (all_ || deletions >= entries / kShare);
}

bool MergePlan::is_done(const TableFile& file) const {
  return !through_.empty() && file.smallest <= through_;
}

void MergePlan::done(const MergeStep& step) {
  CHECK(step.through.empty() || step.through > through_);
  begun_ = true;
  through_ = step.through;
}

std::optional<MergeStep> MergePlan::next(const Levels& levels) {
  CHECK(levels.size() >= 2);
  const int last = last_level(levels);
  if (!begun_) {
    if (std::optional<MergeStep> step = whole(levels, last)) return step;
    if (!levels[0].empty()) return flatten(levels, last);
  }
  if (last == 0) return std::nullopt;
  return walk(levels, last);
}

// Everything at once, when it is small enough.
std::optional<MergeStep> MergePlan::whole(const Levels& levels, int last) const {
  Column all;
  MergeStep step;
  for (const auto& level : levels) {
    for (const TableFile& file : level) {
      all.add(file);
      step.inputs.push_back(file.name);
      step.through = std::max(step.through, file.smallest);
    }
  }
  if (all.bytes > step_bytes_ || !worth_it(all.deletions, all.entries)) return std::nullopt;
  step.output_level = last == 0 ? static_cast<int>(levels.size()) - 1 : last;
  return step;
}

// Level 0 into the first level below that has files; RocksDB adds those that overlap.
MergeStep MergePlan::flatten(const Levels& levels, int last) const {
  MergeStep step;
  for (const TableFile& file : levels[0]) step.inputs.push_back(file.name);
  step.output_level = last == 0 ? static_cast<int>(levels.size()) - 1 : 1;
  while (step.output_level < last && levels[static_cast<size_t>(step.output_level)].empty()) {
    ++step.output_level;
  }
  return step;
}

std::optional<MergeStep> MergePlan::walk(const Levels& levels, int last) const {
  Column taken;
  MergeStep step;
  step.output_level = last;
  const std::vector<TableFile>& files = levels[static_cast<size_t>(last)];
  for (size_t at = 0; at < files.size(); ++at) {
    const TableFile& file = files[at];
    Column column;
    if (!is_done(file)) column.add(file);
    for (int above = 1; above < last; ++above) {
      for (const TableFile& other : levels[static_cast<size_t>(above)]) {
        if (!is_done(other) && lies_above(other, files, at)) column.add(other);
      }
    }
    const bool more = worth_it(column.deletions, column.entries) &&
                      (taken.files.empty() || taken.bytes + column.bytes <= step_bytes_);
    if (!more && !taken.files.empty()) break;
    if (!more) continue;
    for (const TableFile* each : column.files) {
      taken.add(*each);
      step.through = std::max(step.through, each->smallest);
    }
  }
  if (taken.files.empty()) return std::nullopt;
  for (const TableFile* file : taken.files) step.inputs.push_back(file->name);
  return step;
}

}  // namespace keelson::backend::rocks
