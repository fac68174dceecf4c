// What the driver gets to see: Ready, and with asynchronous storage the messages to local storage.

#include <utility>

#include "base/check.h"
#include "raft/core.h"
#include "raft/raw_node.h"
#include "raft/step.h"

namespace keelson::raft {
namespace {

// Entries or a snapshot are on their way to storage, so raft needs to hear when they arrive. Also
// entries of an earlier Ready: the answer to their own write is void if the term has changed since,
// and without this one they would stay in memory for good.
bool needs_append_response(const Core& core, const Ready& ready) {
  return core.log->unstable().size() > 0 || !is_empty(ready.snapshot);
}

// Carries the term, since an answer from an older term must be ignored: meanwhile another leader's
// entries may have taken those places, been acknowledged, and been replaced once more (the ABA
// problem), with writes of the middle ones still in flight. And it names the end of the log, not
// of this Ready's entries, for the reason above.
Message append_response(const Core& core, const Ready& ready) {
  Message message{.type = MessageType::kMsgStorageAppendResp,
                  .to = core.options.id,
                  .from = kLocalAppendThread,
                  .term = core.term};
  if (core.log->unstable().size() > 0) {
    const EntryId last = core.log->last_id();
    message.index = last.index;
    message.log_term = last.term;
  }
  message.snapshot = ready.snapshot;
  return message;
}

// No term: what is committed stays so in every term.
Message apply_response(const Core& core, const Ready& ready) {
  Message message{
      .type = MessageType::kMsgStorageApplyResp, .to = core.options.id, .from = kLocalApplyThread};
  message.entries = ready.committed_entries;
  return message;
}

bool needs_append(const Core& core, const Ready& ready) {
  return !ready.entries.empty() || !ready.hard_state.empty() || !is_empty(ready.snapshot) ||
         !core.outbox.after_append.empty();
}

// The promises go out when everything that is unstable now is durable. Our own acknowledgements
// come before the storage's: they look up terms, which is fastest while entries are unstable.
Message append_message(Core& core, const Ready& ready, std::vector<Message> responses) {
  Message message{
      .type = MessageType::kMsgStorageAppend, .to = kLocalAppendThread, .from = core.options.id};
  message.entries = ready.entries;
  message.term = ready.hard_state.term;
  message.vote = ready.hard_state.vote;
  message.commit = ready.hard_state.commit;
  message.snapshot = ready.snapshot;
  // The list changes hands, so that neither side has to allocate in the steady state.
  std::swap(responses, core.outbox.after_append);
  message.responses = std::move(responses);
  if (needs_append_response(core, ready)) {
    message.responses.push_back(append_response(core, ready));
  }
  return message;
}

Message apply_message(const Core& core, const Ready& ready, std::vector<Message> responses) {
  Message message{
      .type = MessageType::kMsgStorageApply, .to = kLocalApplyThread, .from = core.options.id};
  message.entries = ready.committed_entries;
  responses.push_back(apply_response(core, ready));
  message.responses = std::move(responses);
  return message;
}

std::vector<Message> take_spare(std::vector<std::vector<Message>>* spare) {
  if (spare->empty()) return {};
  std::vector<Message> list = std::move(spare->back());
  spare->pop_back();
  return list;
}

void add_storage_messages(Core& core, Ready* rd, std::vector<std::vector<Message>>* spare) {
  if (needs_append(core, *rd)) {
    rd->messages.push_back(append_message(core, *rd, take_spare(spare)));
  }
  if (!rd->committed_entries.empty()) {
    rd->messages.push_back(apply_message(core, *rd, take_spare(spare)));
  }
}

// Classic storage: the driver sends only after persisting, so promises to others go with the rest,
// and those to ourselves are stepped by advance().
void add_promises(Core& core, Ready* rd, std::vector<Message>* on_advance) {
  for (Message& message : core.outbox.after_append) {
    const bool to_self = message.to == core.options.id;
    (to_self ? *on_advance : rd->messages).push_back(std::move(message));
  }
  core.outbox.after_append.clear();
  if (needs_append_response(core, *rd)) on_advance->push_back(append_response(core, *rd));
  if (!rd->committed_entries.empty()) on_advance->push_back(apply_response(core, *rd));
}

}  // namespace

void Ready::clear() {
  soft_state.reset();
  hard_state = {};
  read_states.clear();
  entries = {};
  snapshot = nullptr;
  committed_entries = {};
  messages.clear();
  must_sync = false;
}

bool RawNode::has_ready() const {
  const Core& core = *core_;
  if (!core.outbox.now.empty() || !core.outbox.after_append.empty()) return true;
  if (core.log->unstable().has_next_entries()) return true;
  if (core.log->has_next_committed(!async_storage_writes_)) return true;
  if (!core.read_states.empty()) return true;
  if (core.soft_state() != previous_soft_) return true;
  const HardState hard = core.hard_state();
  if (!hard.empty() && hard != previous_hard_) return true;
  return core.log->unstable().next_snapshot() != nullptr;
}

Ready RawNode::ready() {
  Ready rd;
  ready(&rd);
  return rd;
}

// The lists of a Ready that the driver hands in again need no new memory.
void RawNode::recycle(Ready* rd) {
  for (Message& message : rd->messages) {
    if (message.responses.capacity() == 0 || spare_.size() == 2) continue;
    message.responses.clear();
    spare_.push_back(std::move(message.responses));
  }
  rd->clear();
}

void RawNode::ready(Ready* rd) {
  recycle(rd);
  collect(rd);
  accept(rd);
}

void RawNode::collect(Ready* rd) {
  Core& core = *core_;
  rd->entries = core.log->unstable().next_entries();
  rd->committed_entries = core.log->next_committed(!async_storage_writes_);
  rd->snapshot = core.log->unstable().next_snapshot();
  std::swap(rd->messages, core.outbox.now);
  std::swap(rd->read_states, core.read_states);
  if (core.soft_state() != previous_soft_) rd->soft_state = core.soft_state();
  const HardState hard = core.hard_state();
  if (hard != previous_hard_) rd->hard_state = hard;
  // The commit index alone may be lost: it is found again.
  rd->must_sync =
      !rd->entries.empty() || hard.vote != previous_hard_.vote || hard.term != previous_hard_.term;
}

void RawNode::accept(Ready* rd) {
  Core& core = *core_;
  if (async_storage_writes_) {
    add_storage_messages(core, rd, &spare_);
  } else {
    CHECK(steps_on_advance_.empty());  // the last Ready was not advanced
    add_promises(core, rd, &steps_on_advance_);
  }
  if (rd->soft_state) previous_soft_ = *rd->soft_state;
  if (!rd->hard_state.empty()) previous_hard_ = rd->hard_state;
  core.log->accept_unstable();
  if (!rd->committed_entries.empty()) {
    core.log->accept_applying(rd->committed_entries.back().index,
                              encoded_size(rd->committed_entries), !async_storage_writes_);
  }
}

void RawNode::advance() {
  CHECK(!async_storage_writes_);
  for (Message& message : steps_on_advance_) raft::step(*core_, std::move(message)).IgnoreError();
  steps_on_advance_.clear();
}

}  // namespace keelson::raft
