#include "node/log_debt.h"

#include <algorithm>

#include "base/check.h"

namespace keelson::node {

LogDebt::Limits LogDebt::Limits::with_marks_every(uint64_t entries) {
  Limits limits;
  if (entries == 0) return limits;
  limits.mark_entries = entries;
  constexpr uint64_t kLeast = 50, kUsual = 10'000;
  limits.flush_pause = std::chrono::milliseconds(std::clamp(entries, kLeast, kUsual));
  return limits;
}

LogDebt::LogDebt(Limits limits, const Position& start)
    : limits_(limits),
      marked_(start.marked),
      asked_(start.marked),
      durable_(start.durable),
      handed_(start.applied),
      durable_total_(start.unmarked_bytes),
      handed_total_(start.unmarked_bytes + start.undurable_bytes) {
  if (durable_ < handed_) points_.push_back({handed_, handed_total_});
  if (is_worth_a_mark(durable_)) milestone_ = Point{durable_, durable_total_};
  look_for_milestone();
  check_invariants();
}

void LogDebt::handed(Index index, uint64_t bytes) {
  if (index <= handed_) return;
  const bool starts = points_.empty();
  handed_ = index;
  handed_total_ += bytes;
  // The last point moves on until it stands for a grain.
  const Index from = points_.size() < 2 ? durable_ : points_[points_.size() - 2].index;
  const uint64_t from_total =
      points_.size() < 2 ? durable_total_ : points_[points_.size() - 2].total;
  if (starts || points_.back().total - from_total >= limits_.flush_bytes / kGrains ||
      points_.back().index - from >= limits_.flush_entries / kGrains) {
    points_.push_back({handed_, handed_total_});
  } else {
    points_.back() = {handed_, handed_total_};
  }
  look_for_milestone();
  check_invariants();
}

void LogDebt::look_for_milestone() {
  if (!milestone_ && is_worth_a_mark(handed_)) milestone_ = Point{handed_, handed_total_};
}

void LogDebt::durable(Index index) {
  if (index <= durable_) return;
  CHECK(index <= handed_);
  durable_ = index;
  while (!points_.empty() && points_.front().index <= index) {
    durable_total_ = points_.front().total;
    points_.pop_front();
  }
  check_invariants();
}

void LogDebt::mark_asked() {
  CHECK(asked_ == marked_);
  CHECK(durable_ > marked_);
  const Point at = next_mark();
  asked_ = at.index;
  asked_total_ = at.total;
  if (milestone_ && !is_worth_a_mark(milestone_->index)) milestone_.reset();
  look_for_milestone();
  check_invariants();
}

LogDebt::Point LogDebt::next_mark() const {
  const bool for_entries = !hurry_ && unmarked_bytes() < limits_.mark_bytes;
  if (for_entries && milestone_is_durable() &&
      durable_ - milestone_->index <= limits_.mark_entries) {
    return {milestone_->index, std::min(milestone_->total, durable_total_)};
  }
  return {durable_, durable_total_};
}

void LogDebt::mark_made() {
  CHECK(asked_ > marked_);
  marked_ = asked_;
  marked_total_ = asked_total_;
  check_invariants();
}

void LogDebt::mark_failed() {
  CHECK(asked_ > marked_);
  const Point failed{asked_, asked_total_};
  asked_ = marked_;
  asked_total_ = marked_total_;
  if (is_worth_a_mark(failed.index)) milestone_ = failed;
  look_for_milestone();
  check_invariants();
}

void LogDebt::flush_asked() {
  CHECK(!flush_asked_);
  CHECK(durable_ < handed_);
  flush_asked_ = true;
  flush_at_once_ = false;
}

void LogDebt::hurry(bool on) {
  if (on == hurry_) return;
  hurry_ = on;
  flush_at_once_ = on;
  check_invariants();
}

bool LogDebt::should_mark() const {
  if (asked_ != marked_ || unmarked_entries() == 0) return false;
  return hurry_ || milestone_is_durable() || unmarked_bytes() >= limits_.mark_bytes;
}

bool LogDebt::should_flush(bool rested) const {
  if (flush_asked_ || unflushed_entries() == 0) return false;
  if (durable_ == Index(0) || flush_at_once_) return true;
  // A mark whose time has come and that cannot be made is no reason for one flush after another.
  const bool for_a_mark =
      milestone_is_durable() ? unflushed_entries() > limits_.mark_entries : milestone_.has_value();
  if (rested && for_a_mark) return true;
  const uint64_t share = hurry_ ? kGrains : 1;
  return unflushed_entries() >= limits_.flush_entries / share ||
         unflushed_bytes() >= limits_.flush_bytes / share;
}

bool LogDebt::is_over() const {
  if (hurry_) {
    return unflushed_entries() >= limits_.flush_entries / 16 ||
           unflushed_bytes() >= limits_.flush_bytes / 5;
  }
  return unflushed_entries() >= 2 * limits_.flush_entries ||
         unflushed_bytes() >= 2 * limits_.flush_bytes;
}

void LogDebt::check_invariants() const {
  CHECK(marked_ <= asked_);
  CHECK(asked_ <= durable_);
  CHECK(durable_ <= handed_);
  CHECK(marked_total_ <= asked_total_);
  CHECK(asked_total_ <= durable_total_);
  CHECK(hurry_ || !flush_at_once_);
  CHECK(durable_total_ <= handed_total_);
  CHECK(points_.empty() || durable_ < points_.front().index);
  CHECK((durable_ == handed_) == points_.empty());
  CHECK(milestone_.has_value() == is_worth_a_mark(handed_));
  CHECK(!milestone_ || milestone_->index <= handed_);
  CHECK(!milestone_ || is_worth_a_mark(milestone_->index));
}

}  // namespace keelson::node
