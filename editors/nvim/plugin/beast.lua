-- What is there from the start: the command :Beast, mappings to map to (<Plug>), and the server for files that are opened.

if vim.g.loaded_beast then
  return
end
vim.g.loaded_beast = true

if vim.fn.has('nvim-0.11') == 0 then
  vim.notify('BEAST MODE needs Neovim 0.11 or later.', vim.log.levels.WARN)
  return
end

vim.api.nvim_create_user_command('Beast', function(given)
  require('beast.commands').run(given)
end, {
  nargs = '+',
  range = true,
  bang = true,
  desc = 'BEAST MODE: actions, chat, models, costs',
  complete = function(lead, line)
    return require('beast.commands').complete(lead, line)
  end,
})

for _, kind in ipairs({ 'explain', 'fix', 'refactor', 'docstring', 'tests', 'generate', 'ask', 'chat' }) do
  local plug = ('<Plug>(beast-%s)'):format(kind)
  vim.keymap.set('n', plug, ('<Cmd>Beast %s<CR>'):format(kind), { desc = 'BEAST: ' .. kind })
  vim.keymap.set('x', plug, (':Beast %s<CR>'):format(kind), { desc = 'BEAST: ' .. kind, silent = true })
end

for _, word in ipairs({ 'apply', 'preview', 'reject', 'stop', 'why', 'cost', 'model', 'history' }) do
  local plug = ('<Plug>(beast-%s)'):format(word)
  vim.keymap.set('n', plug, ('<Cmd>Beast %s<CR>'):format(word), { desc = 'BEAST: ' .. word })
end

vim.keymap.set('i', '<Plug>(beast-complete)', function()
  require('beast.inline').complete()
end, { desc = 'BEAST: complete here' })
vim.keymap.set('i', '<Plug>(beast-accept)', function()
  require('beast.inline').accept()
end, { desc = 'BEAST: take the ghost text' })
vim.keymap.set('i', '<Plug>(beast-next)', function()
  require('beast.inline').turn(1)
end, { desc = 'BEAST: the next ghost text' })
vim.keymap.set('i', '<Plug>(beast-dismiss)', function()
  require('beast.inline').dismiss()
end, { desc = 'BEAST: dismiss what was completed' })

require('beast').enable()
