// backend/rocks/merge_plan.h
//
// MergePlan decides which files of the key family are merged to give space back: step by step
// through the keys, each step small enough that nobody notices it and that the disk needs little
// room beside what is there. Deletions and what they cover end in the last level, so every step
// ends there.
//
// A store whose files fit into one step is one step. In a larger one, level 0 goes first, into the
// level below it (its files overlap, and hold the newest deletions); then the last level is walked
// in the order of keys, and what has deletions in it or above it is merged together with what lies
// above it.
// Threads: any; a plain value. Pure, so that its test can draw any shape of store.

#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace keelson::backend::rocks {

struct TableFile {
  std::string name;
  std::string smallest, largest;  // keys; smallest <= largest
  uint64_t bytes = 0;
  uint64_t entries = 0;
  uint64_t deletions = 0;  // <= entries
};

// Per level, from 0 on. Level 0's files may overlap; those of every other do not, and stand in the
// order of their keys.
using Levels = std::vector<std::vector<TableFile>>;

struct MergeStep {
  std::vector<std::string> inputs;  // file names; not empty
  int output_level = 0;             // >= 1
  std::string through;              // where the walk goes on; empty: at the first key
};

class MergePlan {
 public:
  // `step_bytes`: about as much is read in a step; one file of the last level at least, with what
  // lies above it. `all`: whatever has a deletion; else only where deletions are a twentieth.
  MergePlan(uint64_t step_bytes, bool all) : step_bytes_(step_bytes), all_(all) {}

  // What to do next in the store as it is now. nullopt: the walk is over.
  std::optional<MergeStep> next(const Levels& levels);
  // The step was done: the walk goes on behind it. Not called: next() gives it again.
  void done(const MergeStep& step);

 private:
  bool is_done(const TableFile& file) const;
  bool worth_it(uint64_t deletions, uint64_t entries) const;
  std::optional<MergeStep> whole(const Levels& levels, int last) const;
  MergeStep flatten(const Levels& levels, int last) const;
  std::optional<MergeStep> walk(const Levels& levels, int last) const;

  uint64_t step_bytes_;
  bool all_;
  bool begun_ = false;   // level 0 has had its turn
  std::string through_;  // files that begin at or before it are done; only grows
};

}  // namespace keelson::backend::rocks
