// Runs one launch of a kernel on the CPU, to see that it computes what it should. Not fast, but strict:
// - every thread of a block is a fibre, a barrier gives way to the next; blocks come one after another;
// - threads between two barriers, and blocks, run in a chosen order, so that a result that depends on it shows;
// - a barrier that some threads of a block miss is an error;
// - shared memory is poisoned before each block, and results before the launch;
// - arrays end at a page that cannot be touched, so that reading or writing beyond them ends the program.
#pragma once
#include <math.h>
#include <setjmp.h>
#include <sys/mman.h>
#include <ucontext.h>
#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <memory>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

namespace emulator {

[[noreturn]] inline void fail(const std::string &what) {
  fprintf(stderr, "%s\n", what.c_str());
  exit(3);
}

struct Index {
  uint32_t x = 0, y = 0, z = 0;
};

// Where the running thread is.
inline Index block_index, thread_index;

enum Order { ASCENDING, DESCENDING, SHUFFLED };

class Launch {
 public:
  Launch(Index grid, Index block, Order order, std::function<void()> body)
      : grid_(grid), block_(block), order_(order), body_(std::move(body)) {}

  void run() {
    const size_t threads = size_t(block_.x) * block_.y, blocks = size_t(grid_.x) * grid_.y;
    stacks_.reset(new char[threads * STACK]);
    current_ = this;
    for (size_t i = 0; i < blocks; ++i) {
      const size_t b = order_ == DESCENDING ? blocks - 1 - i : i;
      block_index = {uint32_t(b % grid_.x), uint32_t(b / grid_.x), 0};
      run_block(threads);
    }
  }

  // Gives way until all threads of the block are here.
  static void barrier() {
    Launch &l = *current_;
    l.waiting_[l.thread_] = true;
    if (_setjmp(l.fibres_[l.thread_].at) == 0) _longjmp(l.scheduler_, 1);
  }

 private:
  static constexpr size_t STACK = 32 << 10;

  // A thread: its stack, and where it waits once it has begun.
  struct Fibre {
    ucontext_t start;
    jmp_buf at;
    bool begun = false;
  };

  static void entry() {
    current_->body_();
    _longjmp(current_->scheduler_, 1);
  }

  // Lets a thread run up to its next barrier or its end. (Jumps, for swapcontext asks the kernel each time.)
  __attribute__((noinline)) void resume(Fibre &fibre) {
    if (_setjmp(scheduler_) != 0) return;
    if (fibre.begun) _longjmp(fibre.at, 1);
    fibre.begun = true;
    setcontext(&fibre.start);
  }

  void run_block(size_t threads) {
    poison_shared();
    fibres_.resize(threads);
    std::vector<size_t> turns(threads);
    for (size_t t = 0; t < threads; ++t) {
      turns[t] = order_ == DESCENDING ? threads - 1 - t : t;
      Fibre &fibre = fibres_[t];
      fibre.begun = false;
      getcontext(&fibre.start);
      fibre.start.uc_stack.ss_sp = stacks_.get() + t * STACK;
      fibre.start.uc_stack.ss_size = STACK;
      fibre.start.uc_link = nullptr;
      makecontext(&fibre.start, entry, 0);
    }
    for (bool running = true; running;) {  // from barrier to barrier
      waiting_.assign(threads, false);
      if (order_ == SHUFFLED) shuffle(turns);
      for (size_t t : turns) {
        thread_ = t;
        thread_index = {uint32_t(t % block_.x), uint32_t(t / block_.x), 0};
        resume(fibres_[t]);
      }
      const size_t at_barrier = std::count(waiting_.begin(), waiting_.end(), true);
      running = at_barrier > 0;
      if (running && at_barrier != threads) fail("some threads of a block miss a barrier");
    }
  }

  static void poison_shared();

  void shuffle(std::vector<size_t> &turns) {
    for (size_t i = turns.size(); i > 1; --i) {
      random_ = random_ * 6364136223846793005u + 1442695040888963407u;
      std::swap(turns[i - 1], turns[(random_ >> 33) % i]);
    }
  }

  Index grid_, block_;
  Order order_;
  std::function<void()> body_;
  std::unique_ptr<char[]> stacks_;  // not cleared: most is never touched
  std::vector<Fibre> fibres_;
  std::vector<bool> waiting_;
  jmp_buf scheduler_;
  size_t thread_ = 0;
  uint64_t random_ = 1;
  static inline Launch *current_ = nullptr;
};

// All shared memory of all kernels lies in one section.
#define EMULATOR_SHARED static __attribute__((section("emulator_shared")))
extern "C" char __start_emulator_shared[] __attribute__((weak));
extern "C" char __stop_emulator_shared[] __attribute__((weak));
inline void Launch::poison_shared() {
  if (__start_emulator_shared) memset(__start_emulator_shared, 0xff, __stop_emulator_shared - __start_emulator_shared);
}

// Memory that ends at a page which cannot be touched.
inline char *fenced(size_t bytes) {
  const size_t page = size_t(sysconf(_SC_PAGESIZE)), whole = (bytes + page - 1) / page * page;
  char *p = static_cast<char *>(
      mmap(nullptr, whole + 2 * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
  if (p == MAP_FAILED) fail("no memory");
  mprotect(p, page, PROT_NONE);
  mprotect(p + page + whole, page, PROT_NONE);
  return p + page + whole - bytes;
}

// The arguments of a launch, and how many parameters the kernel has.
struct Arguments {
  std::vector<char *> at;
  std::vector<size_t> bytes;
  size_t parameters = 0;
};

// A parameter's value: a scalar, an array, or (Metal) a reference to a scalar.
template <class A>
struct Parameter {
  static constexpr bool given = true;
  static A get(const Arguments &a, size_t i) {
    if (a.bytes[i] != sizeof(A)) fail("argument " + std::to_string(i) + " has another size");
    return *reinterpret_cast<A *>(a.at[i]);
  }
};
template <class E>
struct Parameter<E *> {
  static constexpr bool given = true;
  static E *get(const Arguments &a, size_t i) { return reinterpret_cast<E *>(a.at[i]); }
};
template <class E>
struct Parameter<E &> {
  static constexpr bool given = true;
  static E &get(const Arguments &a, size_t i) {
    if (a.bytes[i] != sizeof(E)) fail("argument " + std::to_string(i) + " has another size");
    return *reinterpret_cast<E *>(a.at[i]);
  }
};

template <class... A, size_t... I>
void call(void (*kernel)(A...), const Arguments &a, std::index_sequence<I...>) {
  kernel(Parameter<A>::get(a, I)...);
}

template <class... A>
void launch(void (*kernel)(A...), Arguments a, Index grid, Index block, Order order) {
  const size_t given = (size_t(Parameter<A>::given) + ... + 0);
  if (given != a.at.size())
    fail("the kernel takes " + std::to_string(given) + " arguments, not " + std::to_string(a.at.size()));
  a.parameters = sizeof...(A);
  Launch(grid, block, order, [&] { call(kernel, a, std::index_sequence_for<A...>()); }).run();
}

}  // namespace emulator
