// One launch: told on the standard input, its arrays afterwards on the standard output. `kernels.inc` is the source
// under test, `names.inc` a line `KERNEL(name)` for each kernel in it; the tests write both.
#ifndef __METAL_VERSION__
#include "cuda.h"
#endif
#include "kernels.inc"

namespace {

void read_exactly(void *to, size_t bytes) {
  if (bytes > 0 && fread(to, 1, bytes, stdin) != bytes) emulator::fail("the launch is cut short");
}

uint32_t read_u32() {
  uint32_t v;
  read_exactly(&v, sizeof v);
  return v;
}

}  // namespace

int main() {
  std::string name(read_u32(), ' ');
  read_exactly(name.data(), name.size());
  emulator::Index grid, of_block;
  grid.x = read_u32();
  grid.y = read_u32();
  of_block.x = read_u32();
  of_block.y = read_u32();
  const auto order = emulator::Order(read_u32());
  emulator::Arguments arguments;
  std::vector<bool> is_array;
  for (uint32_t left = read_u32(); left > 0; --left) {
    is_array.push_back(read_u32() == 1);
    const size_t bytes = read_u32();
    char *at = emulator::fenced(bytes);
    read_exactly(at, bytes);
    arguments.at.push_back(at);
    arguments.bytes.push_back(bytes);
  }
  bool found = false;
#define KERNEL(kernel_name)                                                          \
  if (name == #kernel_name) {                                                        \
    found = true;                                                                    \
    emulator::launch(kernel_name, arguments, grid, of_block, order);                 \
  }
#include "names.inc"
  if (!found) emulator::fail("no kernel " + name);
  for (size_t i = 0; i < is_array.size(); ++i)
    if (is_array[i] && arguments.bytes[i] > 0) fwrite(arguments.at[i], 1, arguments.bytes[i], stdout);
  return 0;
}
