// pages/orders/orders.js
const { request, bind } = require('../../utils/login.js')

const ORDERS = { url: 'https://api.example.com/orders' }

Page({
  data: { orders: [], asksWho: false, problem: '' },

  onLoad() {
    this.show(request(ORDERS))
  },

  // <form bindsubmit="submit">
  submit(event) {
    this.bindAndShow(event.detail.value)
  },

  // <button open-type="getPhoneNumber" bindgetphonenumber="submitPhone">; no code where the user declines
  submitPhone(event) {
    if (event.detail.code) this.bindAndShow({ phone_code: event.detail.code })
  },

  bindAndShow(account) {
    this.show(bind(account).then(() => request(ORDERS)))
  },

  async show(answer) {
    try {
      const { data } = await answer
      this.setData({ orders: data.orders, asksWho: false, problem: '' })
    } catch (problem) {
      const asksWho = ['binding_required', 'invalid_credentials'].includes(problem.code)
      this.setData({ asksWho, problem: problem.code })
    }
  }
})
